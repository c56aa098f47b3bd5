# SPDX-License-Identifier: Apache-2.0
"""Continuing a run that was stopped, or of which trials failed."""

from __future__ import annotations

from collections.abc import Sequence

from driver.api.cluster import ClusterOptions, on_cluster
from driver.api.dumps import dumping
from driver.api.experiments import prepare, resumable
from driver.api.keep import Attendant, FailedGuest
from driver.api.plans import ExperimentPlan, check_plan, words
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.experiment.boot_failure import record_boot_failure
from driver.experiment.conclusion import Conclusion, read_conclusion
from driver.experiment.lifecycle import carry_out
from driver.experiment.load import Definition, load
from driver.experiment.run_manifest import check_same_guests, planned_run
from driver.experiment.work import Work
from driver.results.directory import RunDirectory
from driver.results.faults import check_kinds
from driver.results.manifest import Manifest
from driver.results.record import read_record


def resume_run(
    name: str,
    *,
    allow_splat: Sequence[str] = (),
    timeout_factor: float | None = None,
    attend: Attendant | None = None,
    cluster: ClusterOptions | None = None,
    workspace: Workspace | None = None,
) -> Conclusion:
    """Finish a run: try the trials that have no result yet, or failed.

    ``name`` is a run of the project's results, a path, or ``latest``. ``allow_splat`` adds to the
    kinds that the run allows already; it, ``timeout_factor`` (None: that of the run) and
    ``attend`` are as in :func:`run_experiment`. What failed attempts left stays in the run.

    Raises :class:`UserError` if its kernels, image, machine or emulator are no longer what they
    were.
    """
    place = workspace or default()
    run = RunDirectory.find(place.project.results, name)
    with run.lock():
        manifest, definition, trials = planned_run(run)
        manifest = _with_patience(manifest, words("allow_splat", allow_splat), timeout_factor)
        if _nothing_left(run, manifest):
            place.reporter.note(f"every trial of {run.name} has a result; nothing is run")
            return read_conclusion(run).allowing(allow_splat)
        _note_edit(place, definition)
        if attend is not None:
            options = manifest.options.model_copy(update={"keep_guest": True, "jobs": 1})
            manifest = manifest.model_copy(update={"options": options})
        elif manifest.options.keep_guest:
            # Trials of one run are alike: these begin with the write of those before as well.
            attend = _let_go
        planned = ExperimentPlan(definition, trials, manifest.options, manifest.accelerator.value)
        again = manifest.model_copy(update={"status": "running", "finished": None})
        if cluster is not None:
            return _resume_on_cluster(planned, cluster, run, again, place)
        work, _, never_ready = prepare(planned, place, attend)
        check_same_guests(manifest, work.guests)
        again = _with_all_guests(again, work)
        if never_ready is not None:
            return record_boot_failure(run, again, work, never_ready)
        if planned.options.dump:
            work = dumping(work, run, place.reporter)
        with resumable(run, work, place.reporter):
            return carry_out(run, again, work, place.reporter)


def _resume_on_cluster(
    planned: ExperimentPlan,
    cluster: ClusterOptions,
    run: RunDirectory,
    manifest: Manifest,
    place: Workspace,
) -> Conclusion:
    """The same for a run that has begun; the caller holds its lock."""
    check_plan(planned, workspace=place)
    with (
        on_cluster(planned, cluster, place, manifest.guests) as found,
        resumable(run, found.work, place.reporter),
    ):
        manifest = _with_all_guests(manifest, found.work)
        if found.never_ready is not None:
            return record_boot_failure(run, manifest, found.work, found.never_ready)
        return carry_out(run, manifest, found.work, place.reporter, found.open_executor)


def _with_all_guests(manifest: Manifest, work: Work) -> Manifest:
    """The manifest with today's guests, if one was never ready and those behind it not tried."""
    if all(guest.qemu.template is not None for guest in manifest.guests):
        return manifest
    guests_now = [prepared.record for prepared in work.guests.values()]
    return manifest.model_copy(update={"guests": guests_now})


def _nothing_left(run: RunDirectory, manifest: Manifest) -> bool:
    """Whether a run is complete and none of its trials has to be tried again."""
    records = (read_record(run, planned.id) for planned in manifest.plan)
    return manifest.status == "complete" and all(record and record.ok for record in records)


def _note_edit(place: Workspace, definition: Definition) -> None:
    """Say so if the project's text of the experiment is no longer that of the run."""
    try:
        now = load(place.project.experiments, definition.name)
    except UserError:  # gone or broken; the run has its own text
        return
    if now.digest != definition.digest:
        place.reporter.note(
            f"{now.path} has been edited since the run began; the run continues with the text that "
            "it began with, which is in its manifest. For the edit, start a new run: "
            f"driver run experiment {definition.name}"
        )


def _with_patience(
    manifest: Manifest, allow_splat: Sequence[str], timeout_factor: float | None
) -> Manifest:
    """The manifest of a run that continues with more kinds of faults allowed, or more time."""
    check_kinds(allow_splat)
    options = manifest.options
    changed = {
        "allow_splat": tuple(dict.fromkeys((*options.allow_splat, *allow_splat))),
        "timeout_factor": options.timeout_factor if timeout_factor is None else timeout_factor,
    }
    return manifest.model_copy(update={"options": options.model_copy(update=changed)})


def _let_go(_failed: FailedGuest) -> None:
    """Nobody attends: the guest ends at once."""
