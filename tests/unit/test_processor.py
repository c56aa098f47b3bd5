# SPDX-License-Identifier: Apache-2.0
"""The processor of guests whose instructions are counted: the same under every QEMU."""

from __future__ import annotations

import pytest

from driver.guest import processor

# What Linux 6.12 finds on the model, under QEMU 7.2 as under 10.0.
SEEN = (
    "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 "
    "syscall nx pdpe1gb rdtscp lm rep_good nopl cpuid extd_apicid pni pclmulqdq ssse3 fma cx16 "
    "sse4_1 sse4_2 movbe popcnt aes xsave avx f16c rdrand hypervisor lahf_lm abm fsgsbase bmi1 "
    "avx2 smep bmi2 adx smap clflushopt clwb xsaveopt xgetbv1 arat umip pku ospke vaes"
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
