# SPDX-License-Identifier: Apache-2.0
"""What one user of shared page tables does to others: memory used up, entries left stale."""

from __future__ import annotations

import pytest
from programs import (
    BASES,
    MACHINE,
    TOLERATED,
    Boots,
    Kernels,
    on_reflink,
    run_program,
)

SECONDS = 900
PROGRAMS = {
    "oom": ["oom"],
    "oom-accomplice": ["oom", "--accomplice"],
    "oom-groups": ["oom", "--accomplice", "--groups"],
    "reflink": on_reflink(["reflink", "--rounds", "4"]),
}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_bystanders(
    name: str,
    base: str,
    kernel: Kernels,
    boots: Boots,
) -> None:
    with boots(MACHINE, kernel("dax-pt-share", base=base), tolerate=TOLERATED) as guest:
        result = run_program(guest, PROGRAMS[name], switch="1", seconds=SECONDS)
    assert result.status == 0, result.output
