# SPDX-License-Identifier: Apache-2.0
"""What one user of shared page tables does to others: memory used up, entries left stale."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from programs import MACHINE, TOLERATED, image_with_programs, on_reflink, run_program

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.guest.boot import boot
from driver.store import Store

SECONDS = 900
PROGRAMS = {
    "oom": ["oom"],
    "oom-accomplice": ["oom", "--accomplice"],
    "oom-groups": ["oom", "--accomplice", "--groups"],
    "reflink": on_reflink(["reflink", "--rounds", "4"]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_bystanders(
    name: str,
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    store: Store,
    tmp_path: Path,
) -> None:
    with_programs = image_with_programs(store, image, tmp_path)
    with boot(
        MACHINE, kernel("dax-pt-share"), with_programs, tmp_path, tolerate=TOLERATED
    ) as guest:
        result = run_program(guest, PROGRAMS[name], switch="1", seconds=SECONDS)
    assert result.status == 0, result.output
