# SPDX-License-Identifier: Apache-2.0
"""Exact runs as a person makes them: one plan twice, on an idle host and on a busy one."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[2]
# Two rounds, so that a trial that the busy host disturbs is noticed, and run again.
PLAN = ["run", "experiment", "repeatability", "--repeat", "2"]
PLAN += ["--only", "workload=files,windows", "--only", "vcpus=1,4"]
KINDS = 4
SECONDS = 600


def driver(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@contextmanager
def busy_host() -> Iterator[None]:
    """More than one program that never rests for each of two processors."""
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(3)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


def records(run: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text()) for path in run.glob("trials/*.json")}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of what runs are made from, so that nobody can change it between two of them."""
    for name in ("kernel-patches", "guest-images", "experiments"):
        shutil.copytree(ROOT / name, tmp_path / name, symlinks=True)
    monkeypatch.setenv("DRIVER_PROJECT", str(tmp_path))
    return tmp_path


@pytest.fixture
def twice(project: Path) -> tuple[Path, Path]:
    """The directories of two runs of the same plan, of which the second had no rest."""
    driver(*PLAN)
    idle = (project / "results" / "latest").resolve()
    with busy_host():
        driver(*PLAN)
    return idle, (project / "results" / "latest").resolve()


def test_two_runs_agree_to_the_byte(twice: tuple[Path, Path]) -> None:
    one, other = twice
    assert one != other
    first, second = records(one), records(other)
    assert len(first) == 2 * KINDS
    digests = {trial: record["digests"] for trial, record in first.items()}
    assert digests == {trial: record["digests"] for trial, record in second.items()}
    for guest in json.loads((one / "manifest.json").read_text())["guests"]:
        seen = guest["qemu"]["processor"]
        assert {"smap", "avx2"} <= set(seen)
        assert not {"erms", "fsrm"} & set(seen)
    for name in ("console", "result", "nvdimm"):
        # Of as many things as there are kinds of trials: no digest of nothing, or of too little.
        assert len({found[name] for found in digests.values()}) == KINDS, name
    for trial in first:
        for file in (f"console/{trial}.log", f"raw/{trial}.jsonl.gz"):
            assert (one / file).read_bytes() == (other / file).read_bytes(), file
    tables = [pd.read_csv(run / "samples.csv").drop(columns="run") for run in twice]
    assert tables[0].equals(tables[1])

    table = driver("repeatability", one.name, other.name)
    rows = [line.split() for line in table.splitlines() if line.startswith("plain")]
    assert [row[4:9] for row in rows] == [["4", "1", "1", "1", "1"]] * KINDS

    manifest = json.loads((one / "manifest.json").read_text())
    assert manifest["accelerator"] == "icount"
    assert manifest["icount_shift"] == 3
    assert "to the byte" in manifest["valid"]["repeats"]
    assert "another build of QEMU" in manifest["valid"]["repeats until"]
    windows = tables[0][(tables[0]["workload"] == "windows") & (tables[0]["source"] == "value")]
    assert set(windows["unit"]) == {"instructions"}
    assert set(windows["metric"]) >= {"clock", "loop", "call", "fault"}
