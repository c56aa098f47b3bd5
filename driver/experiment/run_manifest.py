# SPDX-License-Identifier: Apache-2.0
"""What a run begins with: its manifest, made from its work, and the plan read back from it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from driver.errors import UserError
from driver.experiment.bases import definition_of
from driver.experiment.load import Definition
from driver.experiment.plan import GuestRequest, Selection, Trial, make_plan
from driver.experiment.work import Prepared, Work
from driver.guest.deterministic import REPEATABILITY
from driver.results import provenance
from driver.results.directory import RunDirectory
from driver.results.guest_record import GuestRecord, QemuRecord
from driver.results.manifest import (
    ExperimentText,
    Manifest,
    Options,
    PlannedTrial,
    read_manifest,
)
from driver.validity import Accelerator, Validity


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
    definition = definition_of(manifest, run.manifest)
    options = manifest.options
    plan = make_plan(
        definition.experiment,
        Selection(
            only=options.only,
            repeat=options.repeat,
            quick=options.quick,
            base=options.base,
            instruments=options.instruments,
        ),
    )
    if [trial.id for trial in plan] != [planned.id for planned in manifest.plan]:
        raise UserError(
            f"the run {run.name} cannot be continued: this version of the driver would plan other "
            "trials",
            hint=f"Start a new run, or use the driver named by `project.commit` in {run.manifest}.",
        )
    return manifest, definition, plan


def check_same_guests(manifest: Manifest, guests: Mapping[GuestRequest, Prepared]) -> None:
    """Refuse to mix trials of different kernels, images, machines or emulators in one run.

    A run that ended before its first trial has no record of the guests behind the one that failed.
    """
    for before, prepared in zip(manifest.guests, guests.values(), strict=False):
        for part in differences(before, prepared.record):
            raise UserError(
                f"the {part} of the run {manifest.run} has changed since the run began",
                hint="Start a new run: trials of both would not be comparable.",
            )


def differences(before: GuestRecord, now: GuestRecord) -> list[str]:
    """In what two guests differ that should be the same, wherever and whenever they were made."""
    same = {
        "kernel": before.kernel.digest == now.kernel.digest,
        "image": before.image.digest == now.image.digest,
        "machine": before.machine == now.machine,
        "QEMU": before.qemu.version == now.qemu.version,
        "command line of QEMU": before.qemu.argv == now.qemu.argv,
        "template": _same_template(before.qemu, now.qemu),
        "instruments": before.instruments == now.instruments,
    }
    return [part for part, unchanged in same.items() if not unchanged]


def _same_template(before: QemuRecord, now: QemuRecord) -> bool:
    """What trials under icount begin with is the same if the same QEMU makes it again.

    Without a record of it nothing speaks against it.
    """
    digests = (before.template_digests, now.template_digests)
    return None in digests or digests[0] == digests[1]
