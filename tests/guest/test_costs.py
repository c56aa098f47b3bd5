# SPDX-License-Identifier: Apache-2.0
"""Experiments that count instructions, by the plans that are small enough for every change."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

# Building a kernel that is not in the store yet is part of the job.
SECONDS = 3000


# The cheapest three; the others differ from them in the workload, not in what the driver does.
@pytest.mark.parametrize("experiment", ["fault-saving", "lookup-cost", "alignment"])
def test_the_quick_plan_of_an_experiment_holds(experiment: str, scratch_project: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", "run", "experiment", experiment, "--quick"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = scratch_project / "results" / "latest"
    assert set(pd.read_csv(run / "trials.csv")["verdict"]) == {"ok"}
    checks = pd.read_csv(run / "checks.csv")
    assert set(checks.loc[checks["kind"] != "prediction", "verdict"]) <= {"holds"}
    manifest = json.loads((run / "manifest.json").read_text())
    counted = pd.read_csv(run / "samples.csv")
    if manifest["accelerator"] == "icount":
        assert "instructions" in set(counted["unit"])
