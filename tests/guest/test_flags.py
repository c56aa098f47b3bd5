# SPDX-License-Identifier: Apache-2.0
"""The owner of a file changes its flags while processes share page tables of it.

For a few seconds; longer runs, and other kernels, are by hand, see ``flags/README.md``.
"""

from __future__ import annotations

import pytest
from programs import (
    BASES,
    DEBUG_MACHINE,
    MACHINE,
    Boots,
    Kernels,
    flags,
    run_program,
)

GUEST_SECONDS = 15
SECONDS = 300
# A debug kernel under emulation takes some ten times as long.
DEBUG_SECONDS = 1800


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("file_system", ["ext2", "ext4"])
def test_flags(
    file_system: str,
    base: str,
    kernel: Kernels,
    boots: Boots,
) -> None:
    with boots(MACHINE, kernel("dax-pt-share", base=base)) as guest:
        result = run_program(guest, flags(file_system, GUEST_SECONDS), switch="1", seconds=SECONDS)
    assert result.status == 0, result.output


@pytest.mark.slow
@pytest.mark.parametrize("base", ["6.12", "7.3"])
def test_flags_with_the_checks_of_a_debug_kernel(base: str, kernel: Kernels, boots: Boots) -> None:
    """Page tables that are freed, and locks: what a plain kernel does not look at."""
    built = kernel("dax-pt-share", base=base, variant="debug")
    with boots(DEBUG_MACHINE, built, seconds=900) as guest:
        argv = flags("ext2", GUEST_SECONDS)
        result = run_program(guest, argv, switch="1", seconds=DEBUG_SECONDS)
    assert result.status == 0, result.output
