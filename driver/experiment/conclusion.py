# SPDX-License-Identifier: Apache-2.0
"""A run that is over: what it measured, and what became of everything that was asserted."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from driver.errors import (
    INTERRUPTED,
    CheckFailed,
    DriverError,
    GuestSplat,
    TrialsFailed,
    UserError,
)
from driver.experiment.bases import definition_of
from driver.experiment.definition import Experiment
from driver.experiment.measured import MeasuredTrial, measured_trials
from driver.experiment.verdicts import Verdicts, judge
from driver.results.directory import RunDirectory
from driver.results.faults import Faults, TrialFault, check_kinds, of_records, of_rows
from driver.results.manifest import read_manifest
from driver.results.reader import Run, fault_rows, read_checks, read_run
from driver.results.record import Attempt, TrialRecord, read_record
from driver.results.schema import PENDING
from driver.results.writer import write_checks
from driver.text import counted, share, verb


@dataclass(frozen=True)
class Conclusion:
    """A finished run, as it was read back from disk, and what became of its assertions.

    ``trials`` are the finished ones with their metrics, ``records`` those of all trials that were
    tried (none of a run that was left with its tables only). ``faults`` are those of the guests in
    all attempts, and ``allowed`` the kinds of them that do not decide the exit status.
    """

    directory: RunDirectory
    experiment: Experiment
    run: Run
    trials: list[MeasuredTrial]
    verdicts: Verdicts
    records: list[TrialRecord]
    faults: Faults
    allowed: frozenset[str] = frozenset()

    @property
    def failed(self) -> list[TrialRecord]:
        """The trials whose last attempt has failed."""
        return [record for record in self.records if not record.ok]

    @property
    def blamed(self) -> Faults:
        """The faults that nobody has allowed."""
        return self.faults.without(self.allowed)

    def allowing(self, kinds: Collection[str]) -> Conclusion:
        """The same with more kinds of faults that do not decide the exit status."""
        check_kinds(kinds)
        return replace(self, allowed=self.allowed | frozenset(kinds))

    def complaint(self) -> DriverError | None:
        """The error that the run's exit status and last line are made of; None if all is well.

        A fault of the guest's kernel or workload in any attempt outranks everything: a trial that
        succeeded when it was tried again has not taken it back. A failed trial outranks a failed
        check. A run that is not finished, and so far has nothing to complain of, is not well
        either.
        """
        if self.blamed:
            return self._at_fault(self.blamed)
        if self.failed:
            first = self.failed[0].last
            return TrialsFailed(
                f"{self._failed_of_all()}; the first: {self.failed[0].id}: {first.verdict}: "
                f"{first.message}",
                trial=self.failed[0].id,
                exit_status=first.exit_status,
                excerpt=first.excerpt or None,
                log=self.directory.console(self.failed[0].id),
                hint=f"Retry them: driver run --resume {self.directory.name}",
            )
        bad = self.verdicts.failures
        if bad:
            return CheckFailed(
                f"{share(len(bad), len(self.verdicts.asserted), 'check')} "
                f"{verb(len(bad), 'does', 'do')} not hold",
                hint=f"See every check: {self.directory.checks_csv}",
            )
        pending = int((self.run.trials["verdict"] == PENDING).sum())
        if pending:
            return Unfinished(
                f"{share(pending, len(self.run.trials), 'trial')} {verb(pending, 'has', 'have')} "
                "not been run",
                hint=f"Resume it: driver run --resume {self.directory.name}",
            )
        return None

    def _failed_of_all(self) -> str:
        return f"{share(len(self.failed), len(self.run.trials), 'trial')} failed"

    def _at_fault(self, faults: Faults) -> TrialsFailed:
        """The error of a run in which an attempt failed, or a kernel complained."""
        first = next((fault for fault in faults.found if fault.is_complaint), faults.found[0])
        record = next((one for one in self.records if one.id == first.trial), None)
        attempt = record.attempts[first.attempt - 1] if record else None
        retried = [name for name in faults.trials if name not in {one.id for one in self.failed}]
        said = [self._failed_of_all()] if self.failed else []
        if retried:
            said.append(
                f"{counted(len(retried), 'trial')} with a result had a fault in one of the attempts"
            )
        where = f"{first.trial}, attempt {first.attempt}" if first.attempt else first.trial
        words = f"{first.kind}: {first.message}" if first.is_complaint else first.message
        if attempt is not None and attempt.message:
            words = attempt.message
        kinds = " ".join(f"--allow-splat {kind}" for kind in sorted({o.kind for o in faults.found}))
        name = self.directory.name
        last = record is not None and first.attempt == len(record.attempts)
        advice = [f"Accept what was at fault, which stays recorded: driver show {name} {kinds}"]
        if self.failed:
            advice.insert(0, f"Run the failed trials again: driver run --resume {name}")
        return TrialsFailed(
            f"{'; '.join(said)}; at fault: {faults.kinds()}; the first: {where}: {words}",
            trial=first.trial,
            exit_status=(
                GuestSplat.exit_status
                if first.is_complaint or attempt is None
                else attempt.exit_status
            ),
            excerpt=(attempt.excerpt if attempt else "") or None,
            log=self._log(first, attempt, last=last),
            hint="\n      ".join(advice),
        )

    def _log(self, fault: TrialFault, attempt: Attempt | None, *, last: bool) -> Path:
        """The file with the console of an attempt; that of the boot if it got no further."""
        own = self.directory.console(fault.trial, None if last else fault.attempt or None)
        boot = attempt.boot if attempt else ""
        printed = own.stat().st_size if own.exists() else 0
        return self.directory.consoles / boot if boot and not printed else own


class Unfinished(DriverError):
    """A run was interrupted; what it has is good, and not all of it."""

    exit_status = INTERRUPTED


def conclude(
    run: RunDirectory, experiment: Experiment, records: Sequence[TrialRecord]
) -> Conclusion:
    """Read a run back from disk, judge it, and write down what was judged."""
    found = _judged(run, experiment, records)
    write_checks(run, (row.as_record() for row in found.verdicts.rows))
    return replace(found, run=replace(found.run, checks=read_checks(run)))


def read_conclusion(directory: RunDirectory) -> Conclusion:
    """The run in a directory and what became of its assertions, by its own experiment's text.

    Only the manifest and the CSV files are needed: the records of the trials may have been left
    behind, and the directory may be one that nobody may write to.
    Raises :class:`UserError` for a run that is going on or damaged.
    """
    manifest = read_manifest(directory)
    if manifest.status != "complete" and not directory.trials_csv.exists():
        resume = f"driver run --resume {directory.name}"
        raise UserError(
            f"the run {directory.name} has not finished",
            hint="Wait for it." if manifest.status == "running" else f"Resume it: {resume}",
        )
    experiment = definition_of(manifest, directory.manifest).experiment
    records = (read_record(directory, planned.id) for planned in manifest.plan)
    return _judged(directory, experiment, [record for record in records if record is not None])


def _judged(
    directory: RunDirectory, experiment: Experiment, records: Sequence[TrialRecord]
) -> Conclusion:
    run = read_run(directory.path)
    trials = measured_trials(run, experiment.metrics, directory)
    return Conclusion(
        directory=directory,
        experiment=experiment,
        run=run,
        trials=trials,
        verdicts=judge(experiment, trials),
        records=list(records),
        faults=of_records(records) if records else of_rows(fault_rows(run)),
        allowed=frozenset(run.manifest.options.allow_splat),
    )
