# SPDX-License-Identifier: Apache-2.0
"""Series as their authors handle them: the one that is an example, and the one that is large."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT

from driver.kernel import clone
from driver.kernel.export import export
from driver.kernel.series import load
from driver.kernel.sources.spec import obtain
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

SECONDS = 2400


def test_a_second_series_and_its_experiment(scratch_project: Path) -> None:
    """Compared with what was sampled, not with the checks of the experiment."""
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", "run", "experiment", "smaps-dax", "--quick"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    samples = pd.read_csv(scratch_project / "results/latest/samples.csv")
    touched = samples[(samples["metric"] == "Dax") & (samples["phase"] == "touched")]
    assert set(touched["kernel"]) == {"patched"}
    by_entry = touched.set_index("entry")["value"]
    # One access in each 2 MiB of a GiB.
    assert by_entry.to_dict() == {"2M": 1 << 30, "4K": 512 * 4096}


@pytest.mark.parametrize("name", ["dax-pt-share", "smaps-dax"])
def test_what_is_committed_is_what_an_export_writes(
    name: str, store: Store, project: Project, tmp_path: Path
) -> None:
    series = load(project, name)
    source = obtain(store, None, series.base, PlainReporter())
    (tmp_path / "kernel-patches").mkdir()
    folder = tmp_path / "kernel-patches" / name
    subprocess.run(["cp", "-r", ROOT / "kernel-patches" / name, folder], check=True)
    copy = Project(tmp_path)
    made = clone.make(
        store, copy, series=series, source=source, folder=tmp_path / "linux",
        reporter=PlainReporter(),
    )  # fmt: skip
    done = export(copy, made, None)
    assert not done.removed
    # A point release moves lines and changes the ids of files, and no more than that.
    for patch in done.written:
        committed = ROOT / "kernel-patches" / name / series.base / patch
        exported = folder / series.base / patch
        assert _without_places(exported.read_text()) == _without_places(committed.read_text())
    assert len(done.unchanged) + len(done.written) == len(series.patches)
    again = export(copy, made, None)
    assert (again.written, again.removed) == ((), ())


def _without_places(patch: str) -> str:
    """A patch without the ids of files, and without the line numbers of its hunks."""
    text = re.sub(r"^index [0-9a-f]+\.\.[0-9a-f]+", "index", patch, flags=re.M)
    return re.sub(r"^@@ -\S+ \+\S+ @@", "@@", text, flags=re.M)
