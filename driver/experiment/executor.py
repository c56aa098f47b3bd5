# SPDX-License-Identifier: Apache-2.0
"""Where attempts at trials are made: in threads of this process, or on other hosts.

A runner decides which trials are tried, how often, and what is put on disk. An executor makes the
attempts, and knows nothing of records.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from driver.experiment.attempt import Attempts, Measuring, empty_directory
from driver.experiment.outcome import TrialOutcome
from driver.experiment.plan import Trial
from driver.experiment.work import Work
from driver.results.directory import RunDirectory


class Executor(Protocol):
    """Makes attempts at trials, several at a time."""

    @property
    def capacity(self) -> int:
        """How many attempts should be submitted and unfinished, so that nothing waits for more."""

    def submit(self, trial: Trial) -> Future[TrialOutcome]:
        """Try a trial once, soon; whatever is not a guest's fault is the future's exception."""

    def late_faults(self) -> list[tuple[str, TrialOutcome]]:
        """Faults of guests, by trial, in attempts that no longer counted when they became known.

        Each is returned once.
        """

    def status(self) -> str:
        """What a person may want to know of it while it works, in a few words; or nothing."""


# Opens the executor for a run; leaving it ends every guest, after an exception at once.
OpenExecutor = Callable[[RunDirectory, Work, Measuring], AbstractContextManager[Executor]]


class LocalExecutor:
    """Forks guests on this host, ``jobs`` at a time."""

    def __init__(self, attempts: Attempts, pool: ThreadPoolExecutor) -> None:
        self._attempts = attempts
        self._pool = pool

    @property
    def capacity(self) -> int:
        return self._attempts.jobs

    def submit(self, trial: Trial) -> Future[TrialOutcome]:
        return self._pool.submit(self._attempts.make, trial)

    def late_faults(self) -> list[tuple[str, TrialOutcome]]:
        return []

    def status(self) -> str:
        return ""


def local_executor(jobs: int) -> OpenExecutor:
    """Opens executors that run ``jobs`` guests at a time on this host."""

    @contextmanager
    def open_executor(run: RunDirectory, work: Work, measuring: Measuring) -> Iterator[Executor]:
        factories = {
            request: prepared.factory
            for request, prepared in work.guests.items()
            if prepared.factory is not None
        }
        attempts = Attempts(factories, measuring, run.scratch, jobs)
        with (
            empty_directory(run.scratch),
            ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="trial") as pool,
        ):
            try:
                yield LocalExecutor(attempts, pool)
            except BaseException:
                attempts.halt()
                raise

    return open_executor
