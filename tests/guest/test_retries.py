# SPDX-License-Identifier: Apache-2.0
"""A real kernel that crashes in some attempts: none of them is lost, whatever the last one did."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd

from driver.errors import GuestSplat
from driver.results.directory import RunDirectory
from driver.results.record import read_record

CRASH = "echo c > /proc/sysrq-trigger"
# Hundredths of a second of guest time differ from fork to fork.
SOMETIMES = f"read up _ < /proc/uptime; case $up in *[02468]) {CRASH};; esac"
EXPERIMENT = f"""
question = "Does it crash?"
expected = "In some attempts."
image = "dax"
[machine]
memory_mib = 512
nvdimm_mib = 512
[workload]
argv = ["sh", "-c", "{{{{ '{CRASH}' if how == 'always' else '{SOMETIMES}' }}}}"]
phases = ["done"]
[sources.keep]
[factors.kernel.arms.plain]
kernel = {{ series = "none" }}
[factors.how]
values = ["always", "sometimes"]
[retry]
attempts = 4
after = ["splat"]
"""


def driver(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_every_crash_stays_with_its_console(scratch_project: Path) -> None:
    folder = scratch_project / "experiments" / "crashing"
    folder.mkdir()
    (folder / "experiment.toml").write_text(EXPERIMENT)
    done = driver("run", "experiment", "crashing", "--accel", "tcg")
    assert done.returncode == GuestSplat.exit_status, done.stderr
    run = RunDirectory((scratch_project / "results/latest").resolve())
    table = pd.read_csv(run.trials_csv, keep_default_na=False).set_index("trial")
    for name, row in table.iterrows():
        record = read_record(run, str(name))
        assert record is not None
        assert row["attempts"] == len(record.attempts)
        crashes = sum(attempt.verdict != "ok" for attempt in record.attempts)
        assert row["faults"].split() == ["panic"] * crashes
        for number, attempt in enumerate(record.attempts, start=1):
            last = number == len(record.attempts)
            console = run.console(str(name), None if last else number).read_text()
            crashed = "Kernel panic - not syncing: sysrq triggered crash" in console
            assert crashed is (attempt.verdict == "splat"), (name, number)
            assert crashed is bool(attempt.excerpt)
            assert "Linux version" in (run.consoles / attempt.boot).read_text()
    assert table.loc["plain_always_r1", "attempts"] == 4
    if table.loc["plain_sometimes_r1", "verdict"] == "ok":
        rest = ["--allow-splat", "warn"]
        assert driver("show", str(run.path), *rest).returncode == GuestSplat.exit_status
    assert "panic (" in driver("list").stdout
