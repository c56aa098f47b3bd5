# SPDX-License-Identifier: Apache-2.0
"""A real ``driver`` in its own process, with a plan that can be disturbed at a known moment.

Each trial of the plan says on its console that it has begun, then does what its level of the
factor ``way`` says. A disturbed run must give the result of an undisturbed one: the same trials and
the same numbers, none twice and none missing.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

PROJECT = Path(__file__).resolve().parents[2]
NAME = "disturbed"
PATIENCE = 120.0

EXPERIMENT = """
question = "Does a run lose or repeat a trial when something goes wrong?"
expected = "No."
image = "dax"

[machine]
memory_mib = 256
nvdimm_mib = 0

[workload]
argv = ["sh", "-c", '''
phase() { printf 'phase %s' "$1" >&3; dd bs=8 count=1 <&3 >/dev/null 2>&1; }
phase before
echo '<5>trial has begun' >/dev/kmsg
eval "$1"
phase after
''', "trial"]
timeout = "1 if way == 'spin' else 4 if way == 'brief' else 60"
phases = ["before", "after"]

[sources.keep]
meminfo = ["MemTotal"]
vmstat = ["pgfault"]

[retry]
attempts = 2
after = ["lost", "timeout"]

[factors.kernel.arms.plain]
kernel = { series = "none" }

[factors.way]
arms.calm.arguments = ["sleep 1"]
arms.brief.arguments = ["sleep 1"]
arms.panic.arguments = ["echo c >/proc/sysrq-trigger; sleep 60"]
arms.spin.arguments = ["while :; do :; done"]
arms.signal.arguments = ["kill -SEGV $$"]
arms.status.arguments = ["exit 3"]

[factors.turn]
values = [1, 2, 3]
"""


Found = TypeVar("Found")
# A row of trials.csv or samples.csv, as far as a repetition must agree with it.
Row = tuple[str, ...]


@dataclass
class Driver:
    """A driver at work; ``log`` is where its standard error goes."""

    child: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """Everything it has said so far."""
        return self.log.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.child.send_signal(number)

    def status(self) -> int:
        """Wait for its end; the exit status, or minus the signal that killed it."""
        return self.child.wait(PATIENCE)


@dataclass
class FaultInjection:
    """A project in ``root`` whose one experiment this is; ``cache`` is its drivers' store, the
    user's if none is given.
    """

    root: Path
    cache: Path | None = None
    drivers: list[Driver] = field(default_factory=list)

    def __post_init__(self) -> None:
        folder = self.root / "experiments" / NAME
        folder.mkdir(parents=True)
        (folder / "experiment.toml").write_text(EXPERIMENT)
        # Copies: a run refuses to continue with another image than it began with.
        for name in ("kernel-patches", "guest-images", "experiments/workloads"):
            shutil.copytree(PROJECT / name, self.root / name, symlinks=True)
        self.temporary.mkdir()

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def temporary(self) -> Path:
        """Where drivers put temporary files: nothing may be left here."""
        return self.root / "temporary"

    @property
    def latest(self) -> Path:
        return (self.results / "latest").resolve()

    def start(self, *arguments: str) -> Driver:
        """A driver that runs in parallel with the test."""
        environment = {"TMPDIR": str(self.temporary), "DRIVER_PROJECT": str(self.root)}
        if self.cache is not None:
            environment["DRIVER_CACHE"] = str(self.cache)
        log = self.root / f"stderr-{time.monotonic_ns()}"
        with log.open("wb") as sink:
            # A shell's background jobs ignore SIGINT, and so would what they start.
            command = ["env", "--default-signal=INT", sys.executable, "-m", "driver.cli.main"]
            child = subprocess.Popen(
                [*command, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=sink,
                env={**os.environ, **environment},
            )
        self.drivers.append(Driver(child, log))
        return self.drivers[-1]

    def run(self, *arguments: str) -> tuple[int, str]:
        """A driver from start to end: its exit status and what it said on standard error."""
        driver = self.start(*arguments)
        return driver.status(), driver.said()

    def experiment(self, *ways: str, turns: str = "1,2,3", jobs: int = 1) -> list[str]:
        """The words of a run of these ways."""
        only = ("--only", f"way={','.join(ways)}", "--only", f"turn={turns}")
        return ["run", "experiment", NAME, "--accel", "tcg", "--jobs", str(jobs), *only]

    def resume(self) -> tuple[int, str]:
        return self.run("run", "--resume", "latest")

    def finished(self) -> list[str]:
        """The trials of the newest run that are on disk."""
        return sorted(path.stem for path in self.latest.glob("trials/[!.]*.json"))

    def record(self, trial: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.latest / "trials" / f"{trial}.json").read_text())
        return found

    def verdicts(self, trial: str) -> list[str]:
        """The verdict of every attempt at a trial."""
        return [attempt["verdict"] for attempt in self.record(trial)["attempts"]]

    def numbers(self) -> list[Row]:
        """Every row of both tables of the newest run, as far as a repetition must agree."""
        trials = pd.read_csv(self.latest / "trials.csv", dtype=str)
        samples = pd.read_csv(self.latest / "samples.csv", dtype=str)
        rows = [*trials[["trial", "verdict"]].itertuples(index=False, name=None)]
        columns = ["trial", "phase", "source", "metric"]
        rows += samples[columns].itertuples(index=False, name=None)
        return sorted(rows)

    def written(self, trial: str) -> int:
        """When a trial was put on disk."""
        return (self.latest / "trials" / f"{trial}.json").stat().st_mtime_ns

    def processes(self) -> dict[int, str]:
        """Guests of trials, and of templates if the cache is not the user's."""
        found = processes_of(self.results)
        return found | processes_of(self.cache) if self.cache else found

    def guest(self, trial: str, *, besides: int = 0) -> int:
        """Wait until a trial's workload runs; returns its QEMU, another one than ``besides``.

        Of a trial that will not run, because no driver does, the last driver tells why.
        """
        console = self.results / "latest" / "scratch" / trial / "console.log"

        def look() -> int | None:
            at_work = any(driver.child.poll() is None for driver in self.drivers)
            assert at_work, f"{trial} has been missed: {self.drivers[-1].said()}"
            log = str(console.resolve())
            pids = [pid for pid, words in self.processes().items() if log in words]
            begun = console.is_file() and "trial has begun" in console.read_text(errors="replace")
            return next((pid for pid in pids if begun and pid != besides), None)

        return until(look, f"{trial} has begun")

    def assert_nothing_left(self) -> None:
        """No process, no socket, no temporary file, no lock; whatever happened before."""
        until(lambda: not self.processes(), "no guest is left", 20)
        if self.cache is not None:
            assert list(self.cache.glob("tmp/*")) == []
        assert list(self.temporary.iterdir()) == []
        left = [str(path) for path in self.results.rglob("*") if path.is_socket()]
        left += [str(path) for path in self.results.rglob(".*")]
        left += [str(path) for path in self.results.glob("*/scratch")]
        assert left == []
        for run in self.results.glob(f"{NAME}-*"):
            descriptor = os.open(run, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.close(descriptor)


def until(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """The first result that counts, of a look that is taken many times a second."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"timed out waiting until {what}"
        time.sleep(0.02)
    return found


def processes_of(folder: Path) -> dict[int, str]:
    """Processes whose command line names something below a folder, with it: guests, not drivers."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text(errors="replace")
        except OSError:
            continue
        if f"{folder}/" in words and "pytest" not in words.split("\0")[0:3]:
            found[int(path.parent.name)] = words
    return found
