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
from driver.kernel.series import bases, load, names
from driver.kernel.sources.spec import obtain
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

PROJECT = Project.find(ROOT)
SECONDS = 2400


def test_a_second_series_and_its_experiment(scratch_project: Path) -> None:
    """On both bases in one run; compared with what was sampled, not with the checks."""
    words = ["run", "experiment", "smaps-page-tables", "--quick", "--base", "6.12,7.3"]
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    samples = pd.read_csv(scratch_project / "results/latest/samples.csv", dtype={"base": str})
    assert set(samples.loc[samples["metric"] == "PageTables", "kernel"]) == {"patched"}
    # One access in each 2 MiB of a GiB: a page of PMDs, and perhaps a page of PTEs for each access.
    for base in ("6.12", "7.3"):
        assert grown(samples, "PageTables", base) == {"2M": 4096, "4K": 513 * 4096}
    # The file is in it since Linux 6.15; the rest is a page of the stack perhaps.
    assert max(grown(samples, "VmRSS", "6.12").values()) < 64 << 10
    assert grown(samples, "VmRSS", "7.3")["2M"] >= 1 << 30


def grown(samples: pd.DataFrame, metric: str, base: str) -> dict[str, int]:
    """How much more the patched kernel counted after touching the file, by size of entry."""
    mine = samples.query("metric == @metric and base == @base and kernel == 'patched'")
    by_phase = mine.set_index(["entry", "phase"])["value"].unstack()
    return dict((by_phase["touched"] - by_phase["mapped"]).astype(int))


EXPORTED = [(name, base) for name in names(PROJECT) for base in bases(PROJECT, name)]


@pytest.mark.parametrize(("name", "base"), EXPORTED)
def test_what_is_committed_is_what_an_export_writes(
    name: str, base: str, store: Store, project: Project, tmp_path: Path
) -> None:
    series = load(project, name, base)
    source = obtain(store, None, base, PlainReporter())
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
        committed = ROOT / "kernel-patches" / name / base / patch
        exported = folder / base / patch
        assert _without_places(exported.read_text()) == _without_places(committed.read_text())
    assert len(done.unchanged) + len(done.written) == len(series.patches)
    again = export(copy, made, None)
    assert (again.written, again.removed) == ((), ())


def _without_places(patch: str) -> str:
    """A patch without the ids of files, and without what says where its hunks are.

    That is line numbers and the line above that git takes for a heading. The lines around a change
    cannot differ: `git am` refuses a patch whose context is not that of the source.
    """
    text = re.sub(r"^index [0-9a-f]+\.\.[0-9a-f]+", "index", patch, flags=re.M)
    return re.sub(r"^@@ -\S+ \+\S+ @@.*$", "@@", text, flags=re.M)
