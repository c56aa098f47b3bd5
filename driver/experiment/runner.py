# SPDX-License-Identifier: Apache-2.0
"""Running a plan: one fork of a booted guest per trial, each on disk before the next begins.

A trial that fails is a row with its verdict; it never stops the others. What does stop a run (an
interrupt, a full disk, a missing QEMU) leaves it resumable: an attempt at a trial is either on
disk, with its console and its verdict, or as if it had never begun. Later ones do not replace it.
"""

from __future__ import annotations

import logging
import shlex
import shutil
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from driver.counters.source import UnreadableSource
from driver.deadline import Deadline
from driver.errors import GuestError
from driver.experiment.definition import Retry
from driver.experiment.estimate import time_left
from driver.experiment.outcome import (
    Traces,
    TrialOutcome,
    demand_no_complaint,
    demand_success,
    digests,
    failure,
    success,
)
from driver.experiment.outliers import MAX_RETRIES, disturbed, outliers
from driver.experiment.plan import GuestRequest, Trial
from driver.guest.config import NO_KINDS
from driver.guest.job import Job, JobResult
from driver.progress import Reporter
from driver.results.directory import RunDirectory, check_room
from driver.results.manifest import Manifest
from driver.results.record import (
    TrialRecord,
    read_record,
    write_boot_console,
    write_record,
)
from driver.results.tidy import Number, numbers
from driver.validity import Accelerator

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


@dataclass
class _State:
    """What the threads of one run share."""

    stop: threading.Event = field(default_factory=threading.Event)
    live: set[TrialGuest] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def watching(self, guest: TrialGuest) -> Iterator[None]:
        with self.lock:
            self.live.add(guest)
        try:
            yield
        finally:
            with self.lock:
                self.live.discard(guest)

    def halt(self) -> None:
        self.stop.set()
        with self.lock:
            for guest in self.live:
                guest.kill()


class _Interrupted(Exception):
    """The run is being stopped; the trial that notices leaves no trace."""


@dataclass(frozen=True)
class Runner:
    """Runs a plan into a run's directory, forking its guests from ``factories``.

    ``digest_nvdimm`` takes the digest of each trial's NVDIMM as well, which reads what the trial
    and the template have written: a quarter to a half of the time of a trial with 1 GiB of files.
    ``kept`` are the numbers of the trials that it has run, by name: their texts are parsed once.
    """

    run: RunDirectory
    manifest: Manifest
    factories: Mapping[GuestRequest, GuestFactory]
    retry: Retry
    reporter: Reporter
    digest_nvdimm: bool = False
    kept: dict[str, Sequence[Number]] = field(default_factory=dict)
    _state: _State = field(default_factory=_State)

    def execute(self, plan: Sequence[Trial], *, jobs: int = 1) -> list[TrialRecord]:
        """Run every trial that has no successful record yet; return the whole plan's records.

        ``jobs`` guests run at a time. Trials that should have agreed and did not are run again
        (:mod:`driver.experiment.outliers`). Raises whatever is not a guest's fault,
        KeyboardInterrupt among it, after every guest has been ended.
        """
        before = {trial.id: read_record(self.run, trial.id) for trial in plan}
        records = {name: record for name, record in before.items() if record and record.ok}
        with (
            _directory(self.run.scratch),
            ThreadPoolExecutor(max_workers=jobs, thread_name_prefix="trial") as pool,
        ):
            try:
                self._run_missing(plan, before, records, pool, jobs)
                for again in range(MAX_RETRIES + 1):
                    odd = {record.id: disturbed(record) for record in outliers(records.values())}
                    if not odd or again == MAX_RETRIES:
                        self._report_outliers(odd)
                        break
                    self.reporter.note(
                        f"retrying trials that differ from the other rounds: {', '.join(odd)}"
                    )
                    records = {name: found for name, found in records.items() if name not in odd}
                    self._run_missing(plan, odd, records, pool, jobs)
            except BaseException:
                self._state.halt()
                raise
        return [records[trial.id] for trial in plan]

    def _report_outliers(self, odd: Collection[str]) -> None:
        """Report trials that never agreed: their numbers count, and may not repeat."""
        if odd:
            self.reporter.note(
                f"still different from the other rounds after {MAX_RETRIES} retries: "
                f"{', '.join(odd)}; `driver repeatability {self.run.name}` shows where"
            )

    def _run_missing(
        self,
        plan: Sequence[Trial],
        before: Mapping[str, TrialRecord | None],
        records: dict[str, TrialRecord],
        pool: Executor,
        jobs: int,
    ) -> None:
        """Run what has no record yet, and add one for each; ``before`` are earlier tries."""
        todo = iter([trial for trial in plan if trial.id not in records])
        left = time_left(len(plan) - len(records))
        running: set[Future[TrialRecord]] = set()
        self.reporter.progress(len(records), len(plan))
        while True:
            while len(running) < jobs and (trial := next(todo, None)) is not None:
                running.add(pool.submit(self._finish, trial, before[trial.id], jobs))
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                record = future.result()
                records[record.id] = record
                self._report(record, len(records), len(plan), left())

    def _report(self, record: TrialRecord, done: int, total: int, left: str) -> None:
        self.reporter.progress(done, total, f"{record.id}{left}")
        if not record.ok:
            self.reporter.note(f"{record.id}: {record.last.verdict}: {record.last.message}")
        elif record.faults:
            kinds = ", ".join(dict.fromkeys(fault.kind for fault in record.faults))
            self.reporter.note(f"{record.id}: {kinds} in one of its attempts, which stays recorded")
        for refusal in record.refused:
            self.reporter.note(f"{record.id}: left out: {refusal}")

    def _finish(self, trial: Trial, before: TrialRecord | None, jobs: int) -> TrialRecord:
        """Try a trial as often as the plan says, and put each attempt on disk."""
        for tries in range(1, self.retry.attempts + 1):
            before = self._record(trial, before, self._attempt(trial, jobs))
            if before.last.verdict not in self.retry.after or tries == self.retry.attempts:
                break
        assert before is not None
        return before

    def _record(
        self, trial: Trial, before: TrialRecord | None, outcome: TrialOutcome
    ) -> TrialRecord:
        """Put an attempt on disk, behind those that were made before."""
        traces, attempt = outcome.traces, outcome.attempt
        if traces.boot:
            with self._state.lock:  # guests of one template have one such file
                boot = write_boot_console(self.run, traces.boot)
            attempt = attempt.model_copy(update={"boot": boot})
        exact = self.manifest.accelerator is Accelerator.ICOUNT
        record = TrialRecord(
            id=trial.id,
            sequence=trial.sequence,
            repeat=trial.repeat,
            factors=dict(trial.factors),
            argv=list(trial.job.argv),
            attempts=[*(before.attempts if before else ()), attempt],
            refused=traces.numbers.refused,
            digests=digests(traces) if exact else {},
        )
        write_record(self.run, record, traces.result, traces.console)
        self.kept[record.id] = traces.numbers.kept
        return record

    def _attempt(self, trial: Trial, jobs: int) -> TrialOutcome:
        _log.info("trial %s: %s", trial.id, shlex.join(trial.job.argv))
        began = time.monotonic()
        traces = Traces()
        try:
            self._measure(trial, traces, jobs)
        except (GuestError, UnreadableSource) as error:
            if self._state.stop.is_set():
                raise _Interrupted from error
            outcome = failure(error, traces, _since(began))
        else:
            outcome = success(traces, _since(began))
        attempt = outcome.attempt
        _log.info("trial %s: %s after %.2f s", trial.id, attempt.verdict, attempt.host_seconds)
        return outcome

    def _measure(self, trial: Trial, traces: Traces, jobs: int) -> None:
        scratch = self.run.scratch / trial.id
        factory = self.factories[trial.guest]
        with _directory(scratch):
            check_room(scratch)
            self._check_interrupted()
            with factory.fork(scratch, tolerate=self._allowed) as guest:
                traces.boot = guest.boot_console()
                try:
                    with self._state.watching(guest):
                        self._check_interrupted()
                        seconds = trial.job.timeout * factory.timeout_scale(jobs)
                        seconds *= self.manifest.options.timeout_factor
                        deadline = Deadline.after(seconds, f"trial {trial.id}")
                        result = guest.run(trial.job, deadline)
                finally:
                    traces.console = guest.console_text()
                if self.digest_nvdimm:
                    traces.evidence = guest.evidence()
            # QEMU drops in silence what it cannot write of the console, complaints among it.
            check_room(scratch)
        demand_no_complaint(traces, self._allowed)
        demand_success(trial, result)
        traces.result = result
        traces.numbers = numbers(result, self.manifest.keep, self.manifest.validity)

    @property
    def _allowed(self) -> frozenset[str]:
        return frozenset(self.manifest.options.allow_splat)

    def _check_interrupted(self) -> None:
        if self._state.stop.is_set():
            raise _Interrupted


@contextmanager
def _directory(path: Path) -> Iterator[None]:
    """A directory that is empty at first, whatever a killed driver left in it, and gone at last."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _since(began: float) -> float:
    return round(time.monotonic() - began, 3)
