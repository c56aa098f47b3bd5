# SPDX-License-Identifier: Apache-2.0
"""Guests looked into from outside: page tables in memory, and dumps of crashed kernels."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from driver import api
from driver.api.dumps import find_dump
from driver.api.workspace import Workspace
from driver.progress import PlainReporter

pytest.importorskip("drgn")

SECONDS = 1200
TRIAL = "patched_on_shared_2M_r1"
CRASHING = """
question = "Does it crash?"
expected = "It does."
image = "dax"
[machine]
memory_mib = 256
nvdimm_mib = 0
[workload]
argv = ["sh", "-c", "echo c > /proc/sysrq-trigger"]
phases = ["done"]
[sources.keep]
[factors.kernel.arms.patched]
kernel = { series = "dax-pt-share" }
[retry]
attempts = 1
"""


def driver(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def test_page_tables_are_those_that_the_kernel_counts(scratch_project: Path) -> None:
    """In each case of the proposal, with sharing on: who has what, and who shares it."""
    done = driver("run", "experiment", "page-table-audit", "--quick", "--only", "sharing=on")
    assert done.returncode == 0, done.stdout + done.stderr
    place = Workspace.find(scratch_project, reporter=PlainReporter())
    seen = api.page_tables("latest", TRIAL, workspace=place)
    assert seen.phases == ["start", "new", "share", "unmap-shared", "unmap-last"]
    assert not len(seen.differences)
    pmds = seen.tables[seen.tables["level"] == "PMD"]
    by_phase = {phase: pmds[pmds["phase"] == phase] for phase in seen.phases}
    assert [len(rows) for rows in by_phase.values()] == [0, 1, 2, 1, 0]
    new, share, alone = (by_phase[phase] for phase in ("new", "share", "unmap-shared"))
    # One page of PMDs from its first use to its last, at one physical address.
    assert set(share["table"]) == set(new["table"]) == set(alone["table"])
    assert len(set(share["entry_at"])) == 2
    assert list(share["users"].astype(int)) == list(share["sharers"]) == [2, 2]
    assert list(alone["users"].astype(int)) == list(alone["sharers"]) == [1]
    puds = seen.tables[(seen.tables["level"] == "PUD") & (seen.tables["phase"] == "share")]
    assert puds["table"].nunique() == puds["pid"].nunique() == 2
    drawing = scratch_project / "tables.svg"
    shown = driver("inspect", "latest", TRIAL, "--phase", "share", "--draw", str(drawing))
    assert shown.returncode == 0, shown.stderr
    assert "2 users" in " ".join(shown.stdout.replace("│", "").split())
    assert drawing.read_text().count("page of PMDs, 2 users") == 1


def test_a_crashed_guest_is_dumped_and_opened(
    scratch_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scratch_project)
    folder = scratch_project / "experiments" / "crashing"
    folder.mkdir()
    (folder / "experiment.toml").write_text(CRASHING)
    done = driver("run", "experiment", "crashing", "--dump", "--accel", "tcg")
    assert done.returncode == 4, done.stderr
    assert "dumped; see `driver debug" in done.stderr
    place = Workspace.find(scratch_project, reporter=PlainReporter())
    dump = find_dump("latest", "patched_r1", workspace=place)
    # Zeros and free pages take no room.
    assert dump.path.stat().st_size < 64 << 20
    line = driver("debug", "latest", "patched", "--with", "drgn", "--show-command")
    assert line.returncode == 0, line.stderr
    script = scratch_project / "look.py"
    script.write_text(
        "from drgn.helpers.linux.printk import get_dmesg\n"
        "print(prog['init_uts_ns'].name.release.string_().decode())\n"
        "print(b'sysrq: Trigger a crash' in get_dmesg(prog))\n"
        "print(prog.crashed_thread().stack_trace()[0].name is not None)\n"
    )
    opened = subprocess.run(
        [*shlex.split(line.stdout), "--quiet", script],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert opened.stdout.split()[:2] == [dump.release, "True"], opened.stderr
    inspected = driver("inspect", "latest", "patched", "--dump")
    assert "no process maps a DAX file" in inspected.stdout, inspected.stderr
