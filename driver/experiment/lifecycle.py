# SPDX-License-Identifier: Apache-2.0
"""A run from its first manifest to its verdicts, however often it is interrupted in between."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from driver.errors import INTERRUPTED, CheckFailed, DriverError, GuestError, UserError
from driver.experiment.definition import Experiment
from driver.experiment.load import Definition, parse
from driver.experiment.plan import GuestRequest, Selection, Trial, make_plan
from driver.experiment.runner import GuestFactory, Runner
from driver.experiment.verdicts import Verdicts, judge
from driver.guest.deterministic import REPEATABILITY
from driver.progress import Reporter
from driver.results import provenance
from driver.results.directory import RunDirectory
from driver.results.guest_record import GuestRecord, QemuRecord
from driver.results.manifest import (
    ExperimentText,
    Manifest,
    Options,
    PlannedTrial,
    read_manifest,
    write_manifest,
)
from driver.results.reader import Run, read_run
from driver.results.record import TrialRecord, read_record
from driver.results.writer import PENDING, write_checks, write_tables
from driver.validity import Accelerator, Validity


@dataclass(frozen=True)
class Prepared:
    """A booted and provisioned template, and what the manifest says about it."""

    factory: GuestFactory
    record: GuestRecord


@dataclass(frozen=True)
class Work:
    """What is to be run: an experiment, its trials, and a template for each kind of guest."""

    definition: Definition
    plan: Sequence[Trial]
    guests: Mapping[GuestRequest, Prepared]


@dataclass(frozen=True)
class Conclusion:
    """A finished run, as it was read back from disk, and what became of its assertions."""

    directory: RunDirectory
    experiment: Experiment
    run: Run
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
                hint=f"Try them again: driver run --resume {self.directory.name}",
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
                hint=f"Go on with it: driver run --resume {self.directory.name}",
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


def new_manifest(
    run: RunDirectory,
    work: Work,
    *,
    options: Options,
    validity: Validity,
    project: Path,
    why: str = "",
) -> Manifest:
    """The manifest of a run that is about to begin; ``why`` is the reason for its accelerator."""
    definition = work.definition
    return Manifest(
        run=run.name,
        status="running",
        started=provenance.now(),
        experiment=ExperimentText(
            name=definition.name, digest=definition.digest, text=definition.text
        ),
        options=options,
        accelerator=validity.accelerator,
        accelerator_reason=why,
        icount_shift=validity.icount_shift,
        valid=_valid(validity, options),
        factors=list(definition.experiment.factors),
        keep={name: list(found) for name, found in definition.experiment.sources.keep.items()},
        guests=[prepared.record for prepared in work.guests.values()],
        host=provenance.host(),
        project=provenance.project_state(project),
        plan=[
            PlannedTrial(
                id=trial.id,
                sequence=trial.sequence,
                repeat=trial.repeat,
                factors=dict(trial.factors),
            )
            for trial in work.plan
        ],
    )


def _valid(validity: Validity, options: Options) -> dict[str, str]:
    """What a reader may conclude from the numbers of a run."""
    found = validity.describe()
    if validity.accelerator is Accelerator.ICOUNT:
        found |= REPEATABILITY
    if validity.accelerator is Accelerator.KVM and options.jobs > 1:
        found["time"] = f"not valid: {options.jobs} guests ran side by side"
    return found


def planned_run(run: RunDirectory) -> tuple[Manifest, Definition, list[Trial]]:
    """What a run began with: its manifest, its own experiment text, its plan.

    The text is the one the run began with, whatever ``experiments/`` holds now. Raises
    :class:`UserError` if this driver would plan other trials from it.
    """
    manifest = read_manifest(run)
    definition = parse(manifest.experiment.name, run.manifest, manifest.experiment.text)
    options = manifest.options
    plan = make_plan(
        definition.experiment,
        Selection(only=options.only, repeat=options.repeat, quick=options.quick),
    )
    if [trial.id for trial in plan] != [planned.id for planned in manifest.plan]:
        raise UserError(
            f"the run {run.name} was planned by another version of the driver",
            hint="Start a new run, or use the driver named by `project.commit` in its manifest.",
        )
    return manifest, definition, plan


def check_same_guests(manifest: Manifest, guests: Mapping[GuestRequest, Prepared]) -> None:
    """Refuse to mix trials of different kernels, images, machines or emulators in one run."""
    for before, prepared in zip(manifest.guests, guests.values(), strict=True):
        now = prepared.record
        same = {
            "kernel": before.kernel.digest == now.kernel.digest,
            "image": before.image.digest == now.image.digest,
            "machine": before.machine == now.machine,
            "QEMU": before.qemu.version == now.qemu.version,
            "command line of QEMU": before.qemu.argv == now.qemu.argv,
            "template": _same_template(before.qemu, now.qemu),
        }
        for part, unchanged in same.items():
            if not unchanged:
                raise UserError(
                    f"the {part} of this run has changed since it began",
                    hint="Start a new run: trials of both would not be comparable.",
                )


def _same_template(before: QemuRecord, now: QemuRecord) -> bool:
    """What trials under icount begin with is the same if the same QEMU makes it again.

    Without a record of it nothing speaks against it.
    """
    digests = (before.template_digests, now.template_digests)
    return None in digests or digests[0] == digests[1]


def carry_out(run: RunDirectory, manifest: Manifest, work: Work, reporter: Reporter) -> Conclusion:
    """Run what is not finished, write the tables, read them back and judge them.

    The caller holds the run's lock. An interrupt leaves the run marked, tabled and resumable.
    """
    experiment = work.definition.experiment
    run.sweep()
    write_manifest(run, manifest)
    run.point_latest()
    runner = Runner(
        run=run,
        manifest=manifest,
        factories={request: prepared.factory for request, prepared in work.guests.items()},
        retry=experiment.retry,
        reporter=reporter,
    )
    try:
        records = runner.execute(work.plan, jobs=manifest.options.jobs)
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            write_manifest(run, manifest.model_copy(update={"status": "interrupted"}))
            write_tables(run, manifest)
        raise
    write_tables(run, manifest)
    finished = {"status": "complete", "finished": provenance.now()}
    write_manifest(run, manifest.model_copy(update=finished))
    return _conclude(run, experiment, records)


def rebuild(run: RunDirectory) -> None:
    """Make the CSV files of a run again, from the records of its trials.

    Raises :class:`UserError` for a run that was left with its CSV files only: they would be lost.
    """
    manifest = read_manifest(run)
    definition = parse(manifest.experiment.name, run.manifest, manifest.experiment.text)
    with run.lock():
        found = [read_record(run, planned.id) for planned in manifest.plan]
        records = [record for record in found if record is not None]
        if not records and run.trials_csv.exists():
            raise UserError(
                f"the records of the trials are not with {run.name}, only its CSV files",
                hint="They are all there is of this run. Look at them without --rebuild.",
            )
        write_tables(run, manifest)
        _conclude(run, definition.experiment, records)


def _conclude(
    run: RunDirectory, experiment: Experiment, records: Sequence[TrialRecord]
) -> Conclusion:
    """Read a run back from disk, judge it, and write down what was judged."""
    verdicts = judge(experiment, read_run(run.path))
    write_checks(run, (row.as_record() for row in verdicts.rows))
    return Conclusion(
        directory=run,
        experiment=experiment,
        run=read_run(run.path),
        verdicts=verdicts,
        failed=[record for record in records if not record.ok],
    )


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
            hint="Wait for it." if manifest.status == "running" else f"Go on with it: {resume}",
        )
    experiment = parse(
        manifest.experiment.name, directory.manifest, manifest.experiment.text
    ).experiment
    run = read_run(directory.path)
    records = (read_record(directory, planned.id) for planned in manifest.plan)
    return Conclusion(
        directory=directory,
        experiment=experiment,
        run=run,
        verdicts=judge(experiment, run),
        failed=[record for record in records if record is not None and not record.ok],
    )
