# SPDX-License-Identifier: Apache-2.0
"""How much of the series is executed by what tests it: it must not shrink."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from driver import api
from driver.api.workspace import Workspace
from driver.progress import PlainReporter

pytest.importorskip("elftools")

SECONDS = 7200
# Percent of the lines with code, a little below what was measured: 61 and 59.
FIVE_CASES = {"mm/dax_pt_share.c": 58.0, "together": 56.0}
# The same: 90 and 89.
SEMANTICS = {"mm/dax_pt_share.c": 87.0, "together": 86.0}


def shares(project: Path, *words: str) -> dict[str, float]:
    """Percent of the series' lines that a command executes, by file and together."""
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *words, "--instrument", "coverage"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    place = Workspace.find(project, reporter=PlainReporter())
    found = api.series_coverage("latest", workspace=place)
    lines = sum(len(file.lines) for file in found)
    assert lines > 300
    executed = sum(len(file.executed) for file in found)
    return {file.path: 100 * file.share for file in found} | {"together": 100 * executed / lines}


def test_the_five_cases_execute_more_than_half(scratch_project: Path) -> None:
    arms = ("--only", "kernel=patched", "--only", "sharing=on")
    found = shares(scratch_project, "run", "experiment", "five-cases", "--quick", *arms)
    for name, least in FIVE_CASES.items():
        assert found[name] >= least, found
    # The five cases have no reflinked file, which copies on write.
    assert found["fs/xfs/xfs_iomap.c"] == 0


@pytest.mark.slow
def test_the_semantic_tests_execute_most_of_it(scratch_project: Path) -> None:
    arms = ("--only", "kernel=on", "--confirm", "0")
    found = shares(scratch_project, "suite", "run", "dax-semantics", *arms)
    for name, least in SEMANTICS.items():
        assert found[name] >= least, found
