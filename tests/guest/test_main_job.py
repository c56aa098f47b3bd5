# SPDX-License-Identifier: Apache-2.0
"""The main job as a person runs it: the command, its exit status, and the files it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from analysis.render import execute, notebooks_about

# Building a kernel that is not in the store yet is part of the job.
SECONDS = 3000


def driver(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("experiment", ["pagetable-footprint", "five-cases"])
def test_the_quick_plan_holds(experiment: str, scratch_project: Path) -> None:
    done = driver("run", "experiment", experiment, "--quick")
    assert done.returncode == 0, done.stdout + done.stderr
    run = scratch_project / "results" / "latest"
    manifest = json.loads((run / "manifest.json").read_text())
    trials = pd.read_csv(run / "trials.csv")
    assert len(trials) == len(manifest["plan"])
    assert set(trials["verdict"]) == {"ok"}
    assert {"off", "on"} == set(trials["sharing"])
    consoles = [path.name for path in (run / "console").iterdir()]
    boots = [name for name in consoles if name.startswith("boot-")]
    assert len(consoles) - len(boots) == len(trials)
    assert len(boots) == len(manifest["guests"])
    samples = pd.read_csv(run / "samples.csv")
    assert set(samples["trial"]) == set(trials["trial"])
    for notebook in notebooks_about(manifest["experiment"]["name"]):
        execute(notebook, run)


def test_sharing_is_what_saves(scratch_project: Path) -> None:
    """Compared with the samples themselves, not with the checks of the experiment."""
    done = driver("run", "experiment", "pagetable-footprint", "--quick", "--only", "entry=4K")
    assert done.returncode == 0, done.stdout + done.stderr
    samples = pd.read_csv(scratch_project / "results" / "latest" / "samples.csv")
    tables = samples[samples["metric"] == "PageTables"].pivot_table(
        index=["kernel", "sharing", "processes"], columns="phase", values="value"
    )
    growth = tables["touched"] - tables["mapped"]
    one = 513 * 4096
    for kernel, sharing, processes, expected in (
        ("baseline", "off", 4, 4 * one),
        ("patched", "off", 4, 4 * one),
        ("patched", "on", 4, one),
        ("patched", "on", 1, one),
    ):
        assert growth[kernel, sharing, processes] == pytest.approx(expected, rel=0.02)
    assert (tables["gone"] == tables["before"]).all()


def test_a_shell_runs_a_command_where_dax_is_mounted() -> None:
    done = driver(
        "shell", "--series", "none", "--", "sh", "-c", "grep /mnt/dax /proc/mounts; exit 9"
    )
    assert done.returncode == 9, done.stderr
    assert "dax=always" in done.stdout


def test_a_raw_namespace_is_not_taken_for_dax() -> None:
    """XFS mounts without DAX on such a device, and only the kernel log says so."""
    script = (
        "umount /mnt/dax; ndctl create-namespace -f -e namespace0.0 -m raw >/dev/null; "
        "mkfs.xfs -q -f -m reflink=0 /dev/pmem0; provision-dax --mount-only"
    )
    done = driver("shell", "--series", "none", "--", "sh", "-c", script)
    assert done.returncode == 1
    assert 'DAX is off on /mnt/dax: the namespace is in mode "raw"' in done.stderr
