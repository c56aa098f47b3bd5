# SPDX-License-Identifier: Apache-2.0
"""Running a plan: one fork of a booted guest per trial, each on disk before it is reported.

A trial that fails is a row with its verdict; it never stops the others. What does stop a run (an
interrupt, a full disk, a missing QEMU) leaves it resumable: an attempt at a trial is either on
disk, with its console and its verdict, or as if it had never begun. Later ones do not replace it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from queue import SimpleQueue

from driver.experiment.definition import Retry
from driver.experiment.estimate import time_left
from driver.experiment.executor import Executor
from driver.experiment.outcome import Traces, TrialOutcome, digests
from driver.experiment.outliers import MAX_RETRIES, disturbed, outliers
from driver.experiment.plan import Trial
from driver.progress import Reporter
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest
from driver.results.observations import write_observations
from driver.results.record import (
    TrialRecord,
    insert_attempt,
    read_record,
    write_boot_console,
    write_record,
)
from driver.results.tidy import Number
from driver.validity import Accelerator


@dataclass
class _Tried:
    """A trial that is being tried; ``record`` has its attempts so far, also of earlier runs."""

    trial: Trial
    record: TrialRecord | None
    tries: int = 0


@dataclass(frozen=True)
class Runner:
    """Runs a plan into a run's directory; ``executor`` makes the attempts.

    ``kept`` are the numbers of the trials that it has run, by name: their texts are parsed once.
    """

    run: RunDirectory
    manifest: Manifest
    executor: Executor
    retry: Retry
    reporter: Reporter
    kept: dict[str, Sequence[Number]] = field(default_factory=dict)

    def execute(self, plan: Sequence[Trial]) -> list[TrialRecord]:
        """Run every trial that has no successful record yet; return the whole plan's records.

        Trials that should have agreed and did not are run again
        (:mod:`driver.experiment.outliers`). Raises whatever is not a guest's fault.
        """
        before = {trial.id: read_record(self.run, trial.id) for trial in plan}
        records = {name: record for name, record in before.items() if record and record.ok}
        self._run_missing(plan, before, records)
        for again in range(MAX_RETRIES + 1):
            odd = {record.id: disturbed(record) for record in outliers(records.values())}
            if not odd or again == MAX_RETRIES:
                self._report_outliers(odd)
                break
            self.reporter.note(
                f"retrying trials that differ from the other rounds: {', '.join(odd)}"
            )
            records = {name: found for name, found in records.items() if name not in odd}
            self._run_missing(plan, odd, records)
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
    ) -> None:
        """Run what has no record yet, and add one for each; ``before`` are earlier tries."""
        todo = self._todo(plan, before, records)
        left = time_left(len(plan) - len(records))
        done: SimpleQueue[tuple[_Tried, Future[TrialOutcome]]] = SimpleQueue()
        running = 0
        self.reporter.progress(len(records), len(plan))
        while True:
            while running < self.executor.capacity and (tried := next(todo, None)) is not None:
                self._submit(tried, done)
                running += 1
            if not running:
                self._insert_late(records)
                return
            tried, future = done.get()
            record = tried.record = self._keep(tried, future.result())
            if self._once_more(tried, record):
                self._submit(tried, done)
                continue
            running -= 1
            records[record.id] = record
            self._report(record, len(records), len(plan), left())

    def _insert_late(self, records: dict[str, TrialRecord]) -> None:
        """A fault of a kernel counts, however late it is known, and whatever came after it."""
        for name, outcome in self.executor.late_faults():
            record = records.get(name) or read_record(self.run, name)
            if record is not None:
                attempt, console = outcome.attempt, outcome.traces.console
                records[name] = insert_attempt(self.run, record, attempt, console)
                self._report_faults(records[name])

    def _todo(
        self,
        plan: Sequence[Trial],
        before: Mapping[str, TrialRecord | None],
        records: Mapping[str, TrialRecord],
    ) -> Iterator[_Tried]:
        for trial in [trial for trial in plan if trial.id not in records]:
            yield _Tried(trial, before[trial.id])

    def _submit(
        self, tried: _Tried, done: SimpleQueue[tuple[_Tried, Future[TrialOutcome]]]
    ) -> None:
        tried.tries += 1
        future = self.executor.submit(tried.trial)
        future.add_done_callback(lambda ended: done.put((tried, ended)))

    def _once_more(self, tried: _Tried, record: TrialRecord) -> bool:
        """Whether the plan asks for another try after the last one."""
        return record.last.verdict in self.retry.after and tried.tries < self.retry.attempts

    def _report(self, record: TrialRecord, done: int, total: int, left: str) -> None:
        status = self.executor.status()
        self.reporter.progress(done, total, ", ".join(filter(None, (record.id + left, status))))
        if not record.ok:
            self.reporter.note(f"{record.id}: {record.last.verdict}: {record.last.message}")
        elif record.faults:
            self._report_faults(record)
        for refusal in record.refused:
            self.reporter.note(f"{record.id}: a number is left out: {refusal}")

    def _report_faults(self, record: TrialRecord) -> None:
        kinds = ", ".join(dict.fromkeys(fault.kind for fault in record.faults))
        self.reporter.note(f"{record.id}: an attempt had a fault, which stays recorded: {kinds}")

    def _keep(self, tried: _Tried, outcome: TrialOutcome) -> TrialRecord:
        """Put an attempt on disk, and before it those that the infrastructure made fail."""
        before = tried.record
        for failed in outcome.earlier:
            before = self._record(tried.trial, before, TrialOutcome(failed, Traces()))
        return self._record(tried.trial, before, outcome)

    def _record(
        self, trial: Trial, before: TrialRecord | None, outcome: TrialOutcome
    ) -> TrialRecord:
        """Put an attempt on disk, behind those that were made before."""
        traces, attempt = outcome.traces, outcome.attempt
        if traces.boot:
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
        write_observations(self.run, trial.id, traces.seen)
        write_record(self.run, record, traces.result, traces.console)
        self.kept[record.id] = traces.numbers.kept
        return record
