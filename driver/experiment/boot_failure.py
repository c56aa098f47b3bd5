# SPDX-License-Identifier: Apache-2.0
"""A run one of whose guests never got ready: it has a verdict and a console like any other."""

from __future__ import annotations

from collections.abc import Sequence

from driver.errors import GuestError
from driver.experiment.conclusion import Conclusion, conclude
from driver.experiment.outcome import Traces, TrialOutcome, failure
from driver.experiment.plan import GuestRequest, Trial
from driver.experiment.work import Work
from driver.guest.console_log import ConsoleLog
from driver.results.directory import RunDirectory
from driver.results.guest_record import GuestRecord
from driver.results.manifest import Manifest, write_manifest
from driver.results.record import TrialRecord, read_record, write_boot_console, write_record
from driver.results.writer import write_tables


class NeverReady(Exception):
    """A guest did not boot or was not provisioned: its kind, what is known of it, and why.

    ``outcome`` is the result of each trial in such a guest.
    """

    def __init__(self, request: GuestRequest, record: GuestRecord, outcome: TrialOutcome) -> None:
        super().__init__(outcome.attempt.message)
        self.request = request
        self.record = record
        self.outcome = outcome

    @classmethod
    def of(cls, request: GuestRequest, record: GuestRecord, error: GuestError) -> NeverReady:
        """From the error and the console that it names."""
        console = ConsoleLog(error.log).text() if error.log is not None else ""
        return cls(request, record, failure(error, Traces(boot=console), 0.0))


def record_boot_failure(
    run: RunDirectory, manifest: Manifest, work: Work, found: NeverReady
) -> Conclusion:
    """Write down a run that ended before its first trial; the caller holds its lock.

    Every trial in a guest of that kind has failed with its verdict and the console of its boot; the
    others have not been run. Resuming the run boots the guest again.
    """
    run.sweep()
    boot = write_boot_console(run, found.outcome.traces.boot)
    attempt = found.outcome.attempt.model_copy(update={"boot": boot})
    records = []
    for trial in work.plan:
        record = read_record(run, trial.id)
        if trial.guest == found.request and not (record and record.ok):
            before = record.attempts if record else []
            record = _record(trial, [*before, attempt])
            write_record(run, record, None, "")
        if record is not None:
            records.append(record)
    write_manifest(run, manifest.model_copy(update={"status": "interrupted"}))
    run.point_latest()
    write_tables(run, manifest)
    return conclude(run, work.definition.experiment, records)


def _record(trial: Trial, attempts: Sequence[object]) -> TrialRecord:
    return TrialRecord.model_validate(
        {
            "id": trial.id,
            "sequence": trial.sequence,
            "repeat": trial.repeat,
            "factors": dict(trial.factors),
            "argv": list(trial.job.argv),
            "attempts": list(attempts),
        }
    )
