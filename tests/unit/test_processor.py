# SPDX-License-Identifier: Apache-2.0
"""The processor of guests whose instructions are counted: the same under every QEMU."""

from __future__ import annotations

import pytest

from driver.guest import processor

# What Linux 6.12 finds on the model, under QEMU 7.2 as under 10.0.
SEEN = (
    "3dnowprefetch abm adx aes apic arat avx avx2 bmi1 bmi2 clflush clflushopt clwb cmov "
    "cpuid cx16 cx8 de extd_apicid f16c fma fpu fsgsbase fxsr hypervisor lahf_lm lm mca mce "
    "mmx movbe msr mtrr nopl nx ospke pae pat pclmulqdq pdpe1gb pge pku pni popcnt pse pse36 "
    "rdrand rdtscp rep_good sep smap smep sse sse2 sse4_1 sse4_2 ssse3 syscall tsc umip vaes "
    "vmmcall xgetbv1 xsave xsaveopt xtopology"
)
CPUINFO = f"processor\t: 0\nflags\t\t: {SEEN}\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: fpu\n"


def test_a_fixed_model_with_icount_and_all_there_is_without() -> None:
    counted = processor.options(deterministic=True, la57=False)
    assert counted.startswith("qemu64-v1,")
    assert counted.endswith("svm=off,la57=off,enforce=on")
    assert processor.options(deterministic=False, la57=True) == "max,la57=on"


@pytest.mark.parametrize("feature", ["erms", "fsrm", "fsrs", "fzrm", "fsrc"])
def test_nothing_is_counted_by_the_byte(feature: str) -> None:
    options = processor.options(deterministic=True, la57=False)
    assert f"{feature}=on" not in options
    seen = processor.flags(CPUINFO.replace("umip", f"umip {feature}"))
    assert processor.deviations(seen) == [f"{feature} is there"]


def test_what_the_guest_sees_is_compared_with_the_model() -> None:
    assert processor.deviations(processor.flags(CPUINFO)) == []
    without = processor.flags(CPUINFO.replace(" smap", "").replace(" sse4_1", ""))
    assert processor.deviations(without) == ["smap is missing", "sse4_1 is missing"]
    assert len(processor.deviations(processor.flags(""))) > 20
