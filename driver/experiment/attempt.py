# SPDX-License-Identifier: Apache-2.0
"""One attempt at a trial: a fork of a booted guest, its job, and what that left behind."""

from __future__ import annotations

import logging
import shlex
import shutil
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from driver.counters.source import UnreadableSource
from driver.deadline import Deadline
from driver.errors import GuestError
from driver.experiment.outcome import (
    Traces,
    TrialOutcome,
    demand_no_complaint,
    demand_success,
    failure,
    success,
)
from driver.experiment.plan import GuestRequest, Trial
from driver.guest.config import NO_KINDS
from driver.guest.job import Job, JobResult
from driver.instruments.instrument import UnreadableObservation
from driver.results.directory import check_room
from driver.results.observations import Observations
from driver.results.tidy import numbers
from driver.validity import Validity

_log = logging.getLogger(__name__)


class TrialGuest(Protocol):
    """A running guest, pristine, for one trial."""

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        """Run a job to its end; raises :class:`GuestError`."""

    def boot_console(self) -> str:
        """What the console had said before the guest was forked; nothing if it was booted."""

    def console_text(self) -> str:
        """Everything the guest's console has said so far."""

    def evidence(self) -> Mapping[str, str]:
        """Digests of what the job has left in the guest, by name, of a guest that repeats."""

    def kill(self) -> None:
        """End the guest at once, from another thread; its ``run`` then raises GuestLost."""


class GuestFactory(Protocol):
    """A template from which identical guests are forked."""

    def timeout_scale(self, jobs: int) -> float:
        """By what deadlines must be multiplied for guests like this one, ``jobs`` at a time."""

    def fork(
        self, directory: Path, *, tolerate: frozenset[str] = NO_KINDS
    ) -> AbstractContextManager[TrialGuest]:
        """A new guest whose sockets and logs live in ``directory``.

        Complaints of its kernel of the kinds in ``tolerate`` do not end its job.
        """

    def observations(self, directory: Path, phases: Sequence[str]) -> Observations:
        """What instruments saw of a guest that has ended, in ``directory``; none: nothing.

        ``phases`` are those that it announced. Raises :class:`UnreadableObservation`.
        """


class Interrupted(Exception):
    """The attempts are being stopped; the trial that notices leaves no trace."""


@dataclass(frozen=True)
class Measuring:
    """What is read of a trial's guest, and how patient one is with it.

    ``keep`` are metrics by source, ``validity`` what they are worth. ``digest_nvdimm`` takes the
    digest of each trial's NVDIMM, which reads what the trial and the template have written: a
    quarter to a half of the time of a trial with 1 GiB of files. Complaints of the kernel of the
    kinds in ``allowed`` end no trial. Deadlines are multiplied by ``timeout_factor``.
    """

    keep: Mapping[str, Sequence[str]]
    validity: Validity
    digest_nvdimm: bool = False
    allowed: frozenset[str] = NO_KINDS
    timeout_factor: float = 1.0


@dataclass(frozen=True)
class Attempts:
    """Makes attempts at trials in guests of this host; safe to use from several threads.

    ``scratch`` is an existing directory for the guests' logs, ``jobs`` how many run at a time.
    """

    factories: Mapping[GuestRequest, GuestFactory]
    measuring: Measuring
    scratch: Path
    jobs: int = 1
    _stop: threading.Event = field(default_factory=threading.Event)
    _live: set[TrialGuest] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def make(self, trial: Trial) -> TrialOutcome:
        """Try a trial once.

        Raises :class:`Interrupted` after :meth:`halt`, and whatever is not a guest's fault.
        """
        _log.info("trial %s: %s", trial.id, shlex.join(trial.job.argv))
        began = time.monotonic()
        traces = Traces()
        try:
            self._measure(trial, traces)
        except (GuestError, UnreadableSource, UnreadableObservation) as error:
            if self._stop.is_set():
                raise Interrupted from error
            outcome = failure(error, traces, _since(began))
        else:
            outcome = success(traces, _since(began))
        attempt = outcome.attempt
        _log.info("trial %s: %s after %.2f s", trial.id, attempt.verdict, attempt.host_seconds)
        return outcome

    def halt(self) -> None:
        """End every guest, from any thread; no other begins."""
        self._stop.set()
        with self._lock:
            for guest in self._live:
                guest.kill()

    def _measure(self, trial: Trial, traces: Traces) -> None:
        scratch = self.scratch / trial.id
        factory = self.factories[trial.guest]
        with empty_directory(scratch):
            check_room(scratch)
            self._check_interrupted()
            with factory.fork(scratch, tolerate=self.measuring.allowed) as guest:
                traces.boot = guest.boot_console()
                try:
                    with self._watching(guest):
                        self._check_interrupted()
                        seconds = trial.job.timeout * factory.timeout_scale(self.jobs)
                        seconds *= self.measuring.timeout_factor
                        deadline = Deadline.after(seconds, f"trial {trial.id}")
                        result = guest.run(trial.job, deadline)
                finally:
                    traces.console = guest.console_text()
                if self.measuring.digest_nvdimm:
                    traces.evidence = guest.evidence()
            traces.seen = factory.observations(scratch, trial.phases)
            # QEMU drops in silence what it cannot write of the console, complaints among it.
            check_room(scratch)
        demand_no_complaint(traces, self.measuring.allowed)
        demand_success(trial, result)
        traces.result = result
        traces.numbers = numbers(result, self.measuring.keep, self.measuring.validity)

    @contextmanager
    def _watching(self, guest: TrialGuest) -> Iterator[None]:
        with self._lock:
            self._live.add(guest)
        try:
            yield
        finally:
            with self._lock:
                self._live.discard(guest)

    def _check_interrupted(self) -> None:
        if self._stop.is_set():
            raise Interrupted


@contextmanager
def empty_directory(path: Path) -> Iterator[None]:
    """A directory that is empty at first, whatever a killed driver left in it, and gone at last."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
