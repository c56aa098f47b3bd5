# SPDX-License-Identifier: Apache-2.0
"""A run that is over: what it measured, and what became of everything that was asserted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from driver.errors import INTERRUPTED, CheckFailed, DriverError, GuestError, UserError
from driver.experiment.bases import definition_of
from driver.experiment.definition import Experiment
from driver.experiment.measured import MeasuredTrial, measured_trials
from driver.experiment.verdicts import Verdicts, judge
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest
from driver.results.reader import Run, read_checks, read_run
from driver.results.record import TrialRecord, read_record
from driver.results.writer import PENDING, write_checks


@dataclass(frozen=True)
class Conclusion:
    """A finished run, as it was read back from disk, and what became of its assertions.

    ``trials`` are the finished ones with their metrics.
    """

    directory: RunDirectory
    experiment: Experiment
    run: Run
    trials: list[MeasuredTrial]
    verdicts: Verdicts
    failed: list[TrialRecord]

    def complaint(self) -> DriverError | None:
        """The error that the run's exit status and last line are made of; None if all is well.

        A failed trial outranks a failed check: the first one's verdict decides the status. A run
        that is not finished, and so far has nothing to complain of, is not well either.
        """
        if self.failed:
            first = self.failed[0].last
            message = f"{len(self.failed)} of {len(self.run.trials)} trials failed"
            return TrialsFailed(
                f"{message}; the first: {self.failed[0].id}: {first.verdict}: {first.message}",
                exit_status=first.exit_status,
                excerpt=first.excerpt or None,
                log=self.directory.consoles / f"{self.failed[0].id}.log",
                hint=f"Retry them: driver run --resume {self.directory.name}",
            )
        bad = self.verdicts.failures
        if bad:
            return CheckFailed(
                f"{len(bad)} of {len(self.verdicts.asserted)} checks do not hold",
                hint=f"Every check is in {self.directory.checks_csv}.",
            )
        pending = int((self.run.trials["verdict"] == PENDING).sum())
        if pending:
            return Unfinished(
                f"{pending} of {len(self.run.trials)} trials have not been run",
                hint=f"Resume it: driver run --resume {self.directory.name}",
            )
        return None


class Unfinished(DriverError):
    """A run was interrupted; what it has is good, and not all of it."""

    exit_status = INTERRUPTED


class TrialsFailed(GuestError):
    """Some trials of a finished run have no result."""

    def __init__(
        self, message: str, *, exit_status: int, excerpt: str | None, log: Path, hint: str
    ) -> None:
        super().__init__(message, excerpt=excerpt, log=log, hint=hint)
        self.exit_status = exit_status


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
    trials = measured_trials(run, experiment.metrics)
    return Conclusion(
        directory=directory,
        experiment=experiment,
        run=run,
        trials=trials,
        verdicts=judge(experiment, trials),
        failed=[record for record in records if not record.ok],
    )
