# SPDX-License-Identifier: Apache-2.0
"""The unpatched kernels of all bases: what a new version of Linux counts in another way.

Quick plans of experiments, by those of their arms that name no series. `make test` runs two of
them, `make test-all` every one.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from driver.experiment.definition import SERIES_NONE, Experiment
from driver.experiment.load import available, load

# The one that is kept, and the one that is developed on.
BASES = ("6.12", "7.3")
# How tables come and go, and what many of them add up to.
ALWAYS = ("five-cases", "pagetable-footprint")
# Building two kernels that are not in the store yet is part of the job.
SECONDS = 6000


def unpatched(experiment: Experiment) -> dict[str, list[str]]:
    """The levels, by factor, at which an experiment boots no series; others are left alone."""
    found = {}
    for name, factor in experiment.factors.items():
        booted = {level: arm.kernel for level, arm in factor.arms.items() if arm.kernel is not None}
        levels = [level for level, kernel in booted.items() if kernel.series == SERIES_NONE]
        if len(levels) < len(booted):
            found[name] = levels
    return found


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    experiment = load(ROOT / "experiments", name).experiment
    only = [f"--only={factor}={','.join(some)}" for factor, some in unpatched(experiment).items()]
    words = ["run", "experiment", name, "--quick", *only, *options]
    return subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *words],
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def plans() -> Iterator[Any]:
    for name, base in itertools.product(available(ROOT / "experiments"), BASES):
        marks = () if name in ALWAYS else (pytest.mark.slow,)
        yield pytest.param(name, base, marks=marks)


@pytest.mark.parametrize(("experiment", "base"), plans())
def test_the_quick_plan_holds(experiment: str, base: str, scratch_project: Path) -> None:
    done = run(experiment, "--base", base)
    assert done.returncode == 0, done.stdout + done.stderr
    results = scratch_project / "results/latest"
    assert set(pd.read_csv(results / "trials.csv")["verdict"]) == {"ok"}
    checks = pd.read_csv(results / "checks.csv")
    judged = checks.loc[checks["kind"] != "prediction", "verdict"]
    assert set(judged) <= {"holds"}
    for guest in json.loads((results / "manifest.json").read_text())["guests"]:
        assert guest["kernel"]["release"].startswith(f"{base}.")
    # Counts of a kernel that was still freeing page tables are kept, and said to be too high.
    trials = [json.loads(path.read_text()) for path in (results / "trials").glob("*.json")]
    assert [trial["refused"] for trial in trials] == [[]] * len(trials) != []


@pytest.mark.slow
def test_bases_are_compared(scratch_project: Path) -> None:
    """One run, one table: a row for each base, and the same page tables in both."""
    done = run("pagetable-footprint", "--base", ",".join(BASES))
    assert done.returncode == 0, done.stdout + done.stderr
    trials = pd.read_csv(scratch_project / "results/latest/trials.csv", dtype={"base": str})
    assert set(trials["base"]) == set(BASES)
    table = done.stdout.partition("Page tables made by touching")[2]
    rows = [line.split() for line in table.splitlines() if line.startswith(BASES)]
    by_base = {base: [row[1:] for row in rows if row[0] == base] for base in BASES}
    assert by_base[BASES[0]] == by_base[BASES[1]] != []
