# SPDX-License-Identifier: Apache-2.0
"""The directory of a run: its name, its lock, its files, and ``latest``."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from driver.atomic_write import UNFINISHED
from driver.errors import HostError, UserError
from driver.suggestion import did_you_mean
from driver.text import binary

LATEST = "latest"
# What must be free where guests keep their logs and records go: a boot prints some 20 kB and the
# samples of a trial take as much again; with thousands of processes, a few MB.
_LEAST_ROOM = 4 << 20
_LOCK_PAUSES = (0.0, 0.05, 0.2)  # in seconds, before each try
_STAMPED = re.compile(r"-\d{8}T\d{6}Z(?:-\d+)?$")
_TIMESTAMP = "%Y%m%dT%H%M%SZ"  # sorts as text, needs no quoting in a shell


@dataclass(frozen=True)
class RunDirectory:
    """Paths inside one run."""

    path: Path

    @classmethod
    def create(cls, results: Path, experiment: str, now: datetime | None = None) -> RunDirectory:
        """Make an empty directory named after the experiment and the time (UTC)."""
        stamp = (now or datetime.now(UTC)).strftime(_TIMESTAMP)
        results.mkdir(parents=True, exist_ok=True)
        for suffix in ("", *(f"-{number}" for number in range(2, 100))):
            path = results / f"{experiment}-{stamp}{suffix}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            run = cls(path)
            for folder in (run.trials, run.raw, run.consoles):
                folder.mkdir()
            return run
        raise HostError(
            f"cannot name a run: a hundred runs of {experiment} started within the second {stamp}",
            hint="Run the same command again.",
        )

    @classmethod
    def find(cls, results: Path, name: str) -> RunDirectory:
        """The run called ``name``: a path, the name of a run in ``results``, or ``latest``."""
        for path in (results / name, Path(name)):
            if (path / "manifest.json").is_file():
                return cls(path.resolve())
        known = sorted(path.parent.name for path in results.glob("*/manifest.json"))
        raise UserError(
            f"there is no run called {name!r} in {results}",
            hint=did_you_mean(name, known, None) or "List the runs: driver list",
        )

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def experiment(self) -> str:
        """The experiment that it is named after."""
        return _STAMPED.sub("", self.name)

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def trials(self) -> Path:
        return self.path / "trials"

    @property
    def raw(self) -> Path:
        return self.path / "raw"

    @property
    def consoles(self) -> Path:
        return self.path / "console"

    def console(self, trial: str, attempt: int | None = None) -> Path:
        """The console log of the last attempt at a trial, or of an earlier one (from 1)."""
        return self.consoles / (f"{trial}.attempt-{attempt}.log" if attempt else f"{trial}.log")

    def dump(self, trial: str, attempt: int) -> Path:
        """The memory of the guest of an attempt (from 1), if it was dumped."""
        return self.path / "dumps" / f"{trial}.attempt-{attempt}.kdump"

    @property
    def superseded(self) -> Path:
        """Outcomes that came too late from hosts of a cluster."""
        return self.path / "superseded"

    @property
    def observations(self) -> Path:
        """What instruments saw; there only if the run had any."""
        return self.path / "observations"

    @property
    def scratch(self) -> Path:
        """Where guests that run now keep their logs; gone when nothing runs."""
        return self.path / "scratch"

    @property
    def trials_csv(self) -> Path:
        return self.path / "trials.csv"

    @property
    def samples_csv(self) -> Path:
        return self.path / "samples.csv"

    @property
    def checks_csv(self) -> Path:
        return self.path / "checks.csv"

    def again(self, trial: str) -> str:
        """The hint for a trial of which a file is damaged: how to run it again."""
        record = shlex.quote(str(self.trials / f"{trial}.json"))
        return f"Run that trial again: rm {record} && driver run --resume {self.name}"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock the run against a second driver; raises :class:`UserError` if one has it.

        The lock is on the directory itself: it leaves no file behind and dies with its holder.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # Who only asks whether a run is in use has the lock for an instant.
            if not any(self._locked(descriptor, pause) for pause in _LOCK_PAUSES):
                raise UserError(
                    f"another driver is working on the run {self.name}",
                    hint="Wait for it to end, or start another run.",
                )
            yield
        finally:
            os.close(descriptor)

    @staticmethod
    def _locked(descriptor: int, pause: float) -> bool:
        time.sleep(pause)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    @property
    def in_use(self) -> bool:
        """Whether a driver is working on the run."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def sweep(self) -> None:
        """Remove what a killed driver left half done; the caller holds the lock.

        Nothing else: a person may keep notes in a run, and Jupyter keeps its checkpoints there.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        for folder in (self.path, self.trials, self.raw, self.consoles, self.observations):
            for path in folder.glob(".*"):
                if UNFINISHED.fullmatch(path.name):
                    path.unlink(missing_ok=True)

    def point_latest(self) -> None:
        """Let ``results/latest`` name this run, in one step that no reader can see half done."""
        link = self.path.parent / LATEST
        temporary = link.with_name(f".{LATEST}.{os.getpid()}")
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        temporary.symlink_to(self.name)
        temporary.replace(link)


def check_writable(results: Path) -> None:
    """Raise :class:`HostError` if no run can be made in a directory, which need not exist yet."""
    there = next(path for path in (results, *results.resolve().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise HostError(
            f"cannot write runs to {results}: {there} "
            + ("is not writable" if there.is_dir() else "is not a directory"),
            hint="Run the driver in a copy of the project that you may write to. See who may write "
            f"here: ls -ld {shlex.quote(str(there))}",
        )


def check_room(path: Path) -> None:
    """Raise :class:`HostError` if the disk that holds ``path`` is as good as full."""
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free < _LEAST_ROOM:
        raise HostError(
            f"the disk is full: {binary(free)} left for {path.parent}, "
            f"{binary(_LEAST_ROOM)} needed",
            hint="Free some space and resume the run: finished trials are kept.",
        )
