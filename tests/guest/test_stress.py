# SPDX-License-Identifier: Apache-2.0
"""Many processes do everything at once to a few files, for a short while.

Longer runs are by hand, see ``stress/README.md``; this one shows that the program works and that
nothing is broken which such a run finds in its first seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from programs import MACHINE, RAW_DEVICE, image_with_programs, run_program

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.guest.session import boot
from driver.store import Store

GUEST_SECONDS = 20
SECONDS = 900

ARMS = {"on": ("6.12", "1")}


@pytest.mark.parametrize("arm", ARMS)
def test_stress(
    arm: str,
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    store: Store,
    tmp_path: Path,
) -> None:
    series, switch = ARMS[arm]
    with_programs = image_with_programs(store, image, tmp_path)
    argv = ["stress", "--seconds", str(GUEST_SECONDS), "--seed", "20190212", "--processes", "16"]
    with boot(MACHINE, kernel(series), with_programs, tmp_path) as guest:
        result = run_program(
            guest,
            [*argv, "--rounds", "2", "--raw-device", RAW_DEVICE],
            switch=switch,
            seconds=SECONDS,
        )
    (tmp_path / "stress.log").write_text(result.output)
    assert result.status == 0, result.output[-4000:]
    done = re.search(r"^total +(\d+)$", result.output, re.MULTILINE)
    assert done is not None
    # An idle host does a hundred and more in a second, a busy one a few dozen.
    assert int(done[1]) > 20 * GUEST_SECONDS, "hardly anything was done"
