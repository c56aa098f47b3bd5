# SPDX-License-Identifier: Apache-2.0
"""Many processes do everything at once to a few files, for a short while.

Longer runs are by hand, see ``stress/README.md``; this one shows that the program works and that
nothing is broken which such a run finds in its first seconds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from programs import BASES, MACHINE, RAW_DEVICE, Boots, Kernels, run_program

from driver.guest.job import JobResult

GUEST_SECONDS = 20
SECONDS = 900

Run = Callable[[list[str]], JobResult]


@pytest.fixture(params=BASES)
def run(
    request: pytest.FixtureRequest,
    kernel: Kernels,
    boots: Boots,
) -> Iterator[Run]:
    """Runs a program in a guest of its own that shares page tables."""
    with boots(MACHINE, kernel("dax-pt-share", base=request.param)) as guest:
        yield lambda argv: run_program(guest, argv, switch="1", seconds=SECONDS)


def test_stress(run: Run, tmp_path: Path) -> None:
    argv = ["stress", "--seconds", str(GUEST_SECONDS), "--seed", "20190212", "--processes", "16"]
    result = run([*argv, "--rounds", "2", "--raw-device", RAW_DEVICE])
    (tmp_path / "stress.log").write_text(result.output)
    assert result.status == 0, result.output[-4000:]
    done = re.search(r"^total +(\d+)$", result.output, re.MULTILINE)
    assert done is not None
    # An idle host does a hundred and more in a second, a busy one a few dozen.
    assert int(done[1]) > 20 * GUEST_SECONDS, "hardly anything was done"


def test_zeroes_that_a_race_leaves_behind_go_away(run: Run) -> None:
    """Which the stress relies on, see ``races/README.md``."""
    result = run(["races", "--rounds", "1"])
    assert result.status == 0, result.output
    loads = re.findall(r"(\d+) of (\d+) loads", result.output)
    assert [of for _, of in loads] == ["512", "512"], result.output
