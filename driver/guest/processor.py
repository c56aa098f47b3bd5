# SPDX-License-Identifier: Apache-2.0
"""The processor of a guest, and of one whose instructions are counted in particular.

Linux and the C library look at what a processor offers and choose their code by it. ``-cpu max`` is
all that the installed emulator can do, so that a newer QEMU gives the same kernel other paths. That
of 10.0 offers FSRM and FSRS, by which Linux copies and clears with ``rep movsb`` and ``rep stosb``,
and QEMU counts an instruction for every byte of those. So a guest under icount has a model of its
own, the same with every QEMU that can emulate it, without the features that only the count shows.
``docs/measurement-validity.md`` has the figures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# What is added to QEMU's oldest 64-bit model, by QEMU's names: what TCG of QEMU 7.2 (Debian 12) can
# do and current processors of either maker have. Linux enters and leaves the kernel, switches page
# tables and saves registers by them as it does on metal.
_FEATURES = (
    "abm", "adx", "aes", "arat", "avx", "avx2", "bmi1", "bmi2", "clflushopt", "clwb", "f16c", "fma",
    "fsgsbase", "movbe", "pclmulqdq", "pdpe1gb", "pku", "popcnt", "rdrand", "rdtscp", "smap",
    "smep", "sse4.1", "sse4.2", "ssse3", "umip", "vaes", "xgetbv1", "xsave", "xsaveopt",
)  # fmt: skip
# What Linux calls those that it does not call as QEMU does; it keeps no flag for others.
_LINUX = {"sse4.1": "sse4_1", "sse4.2": "sse4_2"}
# Strings by the byte: ERMS, and what newer processors add for short ones. QEMU's `rep` counts each
# byte, where Linux without them counts a word of eight or a page as few.
_COUNTED_BY_THE_BYTE = ("erms", "fsrm", "fsrs", "fzrm", "fsrc")
_FLAGS = re.compile(r"^flags\s*:(.*)$", re.M)


def options(*, deterministic: bool, la57: bool) -> str:
    """The value of QEMU's ``-cpu``. QEMU refuses to start if it cannot emulate all of the model."""
    if not deterministic:
        # All that TCG can emulate, or all that the host's processor has.
        return f"max,la57={_on(la57)}"
    added = [f"{feature}=on" for feature in _FEATURES]
    # `v1`, because a model without a version may gain features. It has SVM, for guests in guests.
    return ",".join(["qemu64-v1", *added, "svm=off", f"la57={_on(la57)}", "enforce=on"])


def flags(cpuinfo: str) -> tuple[str, ...]:
    """The flags that /proc/cpuinfo shows of its first processor, sorted."""
    found = _FLAGS.search(cpuinfo)
    return tuple(sorted(found[1].split())) if found else ()


def deviations(found: Iterable[str]) -> list[str]:
    """What a guest under icount sees that the model does not say, in words; nothing as a rule."""
    seen = set(found)
    expected = {_LINUX.get(feature, feature) for feature in _FEATURES}
    return [
        *(f"{flag} is missing" for flag in sorted(expected - seen)),
        *(f"{flag} is there" for flag in _COUNTED_BY_THE_BYTE if flag in seen),
    ]


def _on(flag: bool) -> str:
    return "on" if flag else "off"
