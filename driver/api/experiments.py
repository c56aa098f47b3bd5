# SPDX-License-Identifier: Apache-2.0
"""Running an experiment: plan it, build and boot what it needs, run its trials, judge them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

from driver.api.bases import KernelSources, with_bases
from driver.api.cluster import ClusterOptions, on_cluster
from driver.api.guests import with_arguments
from driver.api.instruments import check_instruments
from driver.api.keep import Attendant, FailedGuest, keeping
from driver.api.preparation import Preparation, check, validity
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.experiment.boot_failure import NeverReady, NoGuest, record_boot_failure
from driver.experiment.conclusion import Conclusion, read_conclusion
from driver.experiment.definition import Level, level_text
from driver.experiment.estimate import estimate
from driver.experiment.lifecycle import carry_out
from driver.experiment.load import Definition, load
from driver.experiment.plan import GuestRequest, Selection, Trial, guests, make_plan
from driver.experiment.run_manifest import check_same_guests, new_manifest, planned_run
from driver.experiment.work import Prepared, Work
from driver.guest.accel import Choice, Requested, check_possible
from driver.guest.template import Template
from driver.guest.template_recipe import qemu_version
from driver.progress import Reporter
from driver.results.directory import RunDirectory, check_writable
from driver.results.faults import check_kinds
from driver.results.manifest import Manifest, Options
from driver.results.record import read_record
from driver.suggestion import did_you_mean

_log = logging.getLogger(__name__)

__all__ = [
    "ClusterOptions",
    "ExperimentPlan",
    "Options",
    "Requested",
    "check_plan",
    "guest_commands",
    "plan_experiment",
    "resume_run",
    "run_experiment",
    "run_plan",
]


# Each guest is a process with threads, files and hundreds of MiB of memory.
MOST_JOBS = 256


@dataclass(frozen=True)
class ExperimentPlan:
    """What is to be run: an experiment, its trials in order, and what was asked for on top."""

    definition: Definition
    trials: Sequence[Trial]
    options: Options
    accel: Requested

    @property
    def guests(self) -> list[GuestRequest]:
        """The kinds of guest it needs, in order of first use."""
        return guests(self.trials)

    def estimate(self, *, workspace: Workspace | None = None) -> float | None:
        """Seconds for the trials alone, judged by an earlier run; None if there is none."""
        results = (workspace or default()).project.results
        return estimate(results, self.definition.name, self.trials, self.options.jobs)


def run_experiment(
    name: str,
    *,
    quick: bool = False,
    only: Mapping[str, Sequence[Level]] | None = None,
    repeat: int | None = None,
    source: str | Path | None = None,
    unpatched_source: str | Path | None = None,
    bases: Sequence[str] = (),
    accel: Requested | None = None,
    jobs: int = 1,
    force: bool = False,
    digest_nvdimm: bool = False,
    kernel_args: Sequence[str] = (),
    qemu_args: Sequence[str] = (),
    allow_splat: Sequence[str] = (),
    timeout_factor: float = 1.0,
    instruments: Sequence[str] = (),
    attend: Attendant | None = None,
    cluster: ClusterOptions | None = None,
    workspace: Workspace | None = None,
) -> Conclusion:
    """Run all trials of an experiment and return what was measured and what became of its checks.

    ``quick`` is the experiment's small plan; ``only`` the levels to run, by factor; ``repeat`` how
    many rounds. ``source`` replaces the kernel source of the arms that have a series, and
    ``unpatched_source`` that of the arms without one. ``bases`` are versions of Linux such as
    ``"6.12"``, a factor of the experiment if they are several (none: what the sources are, else the
    newest that the series exist for). ``accel`` is what executes the guests (None: what
    the experiment asks for). ``jobs`` guests run at a time, under KVM only with ``force``, as they
    disturb each other's times. ``digest_nvdimm`` also compares what the rounds leave on the NVDIMM,
    under icount. ``kernel_args`` and ``qemu_args`` are added to the command lines of
    every guest. ``instruments`` watch every guest, beyond those that the experiment names
    (:mod:`driver.instruments`). ``allow_splat`` are kinds of faults of the guests that do not make
    the run fail, and ``timeout_factor`` multiplies their deadlines. ``attend`` is called with every
    guest whose trial failed, before it ends. ``cluster`` names hosts that run the trials; without
    it this one does.

    Whatever stops a run leaves it resumable: see :func:`resume_run`. A trial that fails stops
    nothing; ask :func:`~driver.api.complaint` whether all went well.
    """
    for factor, levels in (only or {}).items():
        if isinstance(levels, str) or not isinstance(levels, Sequence):
            raise UserError(f"only: {factor!r} needs a list of levels, not {levels!r}")
    for number, named in ((repeat, "repeat"), (jobs, "jobs")):
        if number is not None and type(number) is not int:
            raise UserError(f"{named} is a whole number, not {number!r}")
    options = Options(
        quick=quick,
        only={
            factor: [level_text(level) for level in found] for factor, found in (only or {}).items()
        },
        repeat=repeat,
        source=None if source is None else str(source),
        unpatched_source=None if unpatched_source is None else str(unpatched_source),
        bases=_words("bases", bases),
        jobs=jobs,
        force=force,
        keep_guest=attend is not None,
        digest_nvdimm=digest_nvdimm,
        kernel_args=tuple(_words("kernel_args", kernel_args)),
        qemu_args=tuple(_words("qemu_args", qemu_args)),
        allow_splat=tuple(_words("allow_splat", allow_splat)),
        timeout_factor=timeout_factor,
        instruments=tuple(_words("instruments", instruments)),
    )
    planned = plan_experiment(name, options, accel, workspace=workspace)
    return run_plan(planned, attend=attend, cluster=cluster, workspace=workspace)


def plan_experiment(
    name: str,
    options: Options,
    accel: Requested | None = None,
    *,
    workspace: Workspace | None = None,
) -> ExperimentPlan:
    """The trials of an experiment, of which nothing has been built or run.

    Raises :class:`UserError` for options that do not fit the experiment or each other.
    """
    place = workspace or default()
    return plan_definition(
        load(place.project.experiments, name), options, accel, workspace=workspace
    )


def plan_definition(
    definition: Definition,
    options: Options,
    accel: Requested | None = None,
    *,
    workspace: Workspace | None = None,
) -> ExperimentPlan:
    """As :func:`plan_experiment`, of an experiment that was read or made already."""
    place = workspace or default()
    definition, options = with_bases(place.project, definition, options)
    accel = _accelerator(accel or definition.experiment.accelerator)
    if accel == "kvm":
        _refuse_jobs_under_kvm(options)
    if options.jobs < 1 or (options.repeat is not None and options.repeat < 1):
        raise UserError("jobs and repeat are at least 1")
    if options.jobs > MOST_JOBS:
        raise UserError(
            f"{options.jobs:,} guests at a time are more than any host can run",
            hint=f"--jobs takes 1 to {MOST_JOBS}; this host has {os.cpu_count()} processors.",
        )
    check_kinds(options.allow_splat)
    chosen = Selection(
        only=options.only,
        repeat=options.repeat,
        quick=options.quick,
        base=options.base,
        instruments=options.instruments,
    )
    planned = ExperimentPlan(definition, make_plan(definition.experiment, chosen), options, accel)
    _log.info(
        "%s: %d trials in %d kinds of guest, under %s",
        definition.name,
        len(planned.trials),
        len(planned.guests),
        accel,
    )
    for request in planned.guests:
        machine = request.machine.machine("icount" if accel == "icount" else "tcg")
        with_arguments(machine, options.kernel_args, options.qemu_args)
    return planned


def _accelerator(name: str) -> Requested:
    """The accelerator of a name; ``exact`` is an alias of ``icount``."""
    found = "icount" if name == "exact" else name
    if found not in get_args(Requested):
        raise UserError(
            f"there is no accelerator {name!r}",
            hint=did_you_mean(name, get_args(Requested), "Possible"),
        )
    return cast(Requested, found)


def _words(name: str, given: Iterable[object]) -> list[str]:
    """A list of words; a string alone would be taken apart into letters."""
    if isinstance(given, str):
        raise UserError(f"{name} is a list of words, not the text {given!r}")
    return [str(word) for word in given]


def check_plan(planned: ExperimentPlan, *, workspace: Workspace | None = None) -> None:
    """Raise for a series, variant or image that does not exist; build nothing."""
    place = workspace or default()
    check(place.store, place.project, planned.guests, KernelSources.of_run(planned.options))


def run_plan(
    planned: ExperimentPlan,
    *,
    attend: Attendant | None = None,
    cluster: ClusterOptions | None = None,
    workspace: Workspace | None = None,
) -> Conclusion:
    """Run a plan into a new directory of the project's results; see :func:`run_experiment`."""
    place = workspace or default()
    if cluster is not None:
        return _run_on_cluster(planned, cluster, place)
    options = planned.options.model_copy(update={"keep_guest": attend is not None})
    planned = replace(planned, options=options)
    work, choice, never_ready = _prepare(planned, place, attend)
    run = RunDirectory.create(place.project.results, planned.definition.name)
    with run.lock():
        manifest = new_manifest(
            run,
            work,
            options=planned.options,
            validity=validity(choice.accel),
            project=place.project.root,
            why=choice.reason,
        )
        if never_ready is not None:
            return record_boot_failure(run, manifest, work, never_ready)
        with _resumable(run, work, place.reporter):
            return carry_out(run, manifest, work, place.reporter)


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
        manifest = _with_patience(manifest, _words("allow_splat", allow_splat), timeout_factor)
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
        work, _, never_ready = _prepare(planned, place, attend)
        check_same_guests(manifest, work.guests)
        again = _with_all_guests(again, work)
        if never_ready is not None:
            return record_boot_failure(run, again, work, never_ready)
        with _resumable(run, work, place.reporter):
            return carry_out(run, again, work, place.reporter)


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
            "it began with, which is in its manifest. A new run takes the edit."
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


def guest_commands(
    planned: ExperimentPlan, *, workspace: Workspace | None = None
) -> dict[str, str]:
    """For each kind of guest of a plan a line of shell that boots one without the driver.

    By the name of its kernel. Builds and boots what is not in the cache yet; runs no trial.
    """
    place = workspace or default()
    _check(planned, place)
    preparation = _preparation(planned, place)
    found = {}
    for request in planned.guests:
        template = preparation.template(request)
        found[_title(request, template)] = template.standalone_command()
    return found


def _run_on_cluster(
    planned: ExperimentPlan, cluster: ClusterOptions, place: Workspace
) -> Conclusion:
    check_plan(planned, workspace=place)
    with on_cluster(planned, cluster, place) as found:
        run = RunDirectory.create(place.project.results, planned.definition.name)
        with run.lock():
            manifest = new_manifest(
                run,
                found.work,
                options=planned.options,
                validity=found.validity,
                project=place.project.root,
                why=found.reason,
            )
            with _resumable(run, found.work, place.reporter):
                return carry_out(run, manifest, found.work, place.reporter, found.open_executor)


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
        _resumable(run, found.work, place.reporter),
    ):
        manifest = _with_all_guests(manifest, found.work)
        return carry_out(run, manifest, found.work, place.reporter, found.open_executor)


def _let_go(_failed: FailedGuest) -> None:
    """Nobody attends: the guest ends at once."""


def _prepare(
    planned: ExperimentPlan, place: Workspace, attend: Attendant | None
) -> tuple[Work, Choice, NeverReady | None]:
    """Build what the plan needs and boot one template for each kind of guest.

    The first that does not get ready ends that: the guests are those up to and with it.
    """
    _check(planned, place)
    preparation = _preparation(planned, place)
    prepared: dict[GuestRequest, Prepared] = {}
    never_ready = None
    for request in planned.guests:
        try:
            prepared[request] = preparation.guest(request)
        except NeverReady as found:
            never_ready = found
            prepared[request] = Prepared(NoGuest(found.error), found.record)
            break
    choice = preparation.choice
    if choice.accel == "kvm":
        _refuse_jobs_under_kvm(planned.options)
    work = Work(planned.definition, planned.trials, prepared)
    return work if attend is None else keeping(work, attend), choice, never_ready


def _check(planned: ExperimentPlan, place: Workspace) -> None:
    """Find out what cannot work before minutes are spent on kernels."""
    check_possible(planned.accel)
    if planned.options.keep_guest and planned.options.jobs > 1:
        raise UserError(
            "--keep-guest attends to one guest at a time", hint="Leave --jobs out with it."
        )
    check(place.store, place.project, planned.guests, KernelSources.of_run(planned.options))
    check_writable(place.project.results)
    qemu_version()
    if any(request.instruments for request in planned.guests):
        check_instruments(planned.accel)


def _preparation(planned: ExperimentPlan, place: Workspace) -> Preparation:
    return Preparation(place, accel=planned.accel, options=planned.options)


def _title(request: GuestRequest, template: Template) -> str:
    variant = f", variant {request.kernel.variant}" if request.kernel.variant else ""
    memory = template.recipe.machine.memory_mib
    base = f" on {request.kernel.base}" if request.kernel.base else ""
    return f"series {request.kernel.series}{base}{variant}, {memory} MiB"


def _refuse_jobs_under_kvm(options: Options) -> None:
    if options.jobs > 1 and not options.force:
        raise UserError(
            "under KVM the results hold times, and guests that run side by side disturb each other",
            hint="Leave --jobs out, count with --accel tcg, or give up times with --force.",
        )


@contextmanager
def _resumable(run: RunDirectory, work: Work, reporter: Reporter) -> Iterator[None]:
    """Say how to continue a run that is stopped; its lock is held by the caller."""
    reporter.step(f"Running {len(work.plan)} trials of {work.definition.name}")
    try:
        yield
    except BaseException:
        if run.manifest.exists():
            reporter.note(
                f"finished trials are kept; continue with: driver run --resume {run.name}"
            )
        raise
