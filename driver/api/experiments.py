# SPDX-License-Identifier: Apache-2.0
"""Running an experiment: build and boot what its plan needs, run its trials, judge them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from driver.api.bases import KernelSources
from driver.api.cluster import ClusterOptions, on_cluster
from driver.api.dumps import dumping
from driver.api.instruments import check_instruments
from driver.api.keep import Attendant, keeping
from driver.api.plans import (
    ExperimentPlan,
    check_plan,
    plan_experiment,
    refuse_jobs_under_kvm,
    words,
)
from driver.api.preparation import Preparation, check, validity
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.experiment.boot_failure import NeverReady, record_boot_failure
from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import Level, level_text
from driver.experiment.lifecycle import carry_out
from driver.experiment.plan import GuestRequest
from driver.experiment.run_manifest import new_manifest
from driver.experiment.work import Prepared, Work
from driver.guest.accel import Choice, Requested, check_possible
from driver.guest.template import Template
from driver.guest.template_recipe import qemu_version
from driver.progress import Reporter
from driver.results.directory import RunDirectory, check_writable
from driver.results.manifest import Options
from driver.text import as_written, counted


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
    dump: bool = False,
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
    (:mod:`driver.instruments`). ``dump`` keeps the memory of guests whose kernels complain; it is
    not for hosts of a cluster. ``allow_splat`` are kinds of faults of the guests that do not make
    the run fail, and ``timeout_factor`` multiplies their deadlines. ``attend`` is called with every
    guest whose trial failed, before it ends. ``cluster`` names hosts that run the trials; without
    it this one does.

    Whatever stops a run leaves it resumable: see :func:`resume_run`. A trial that fails stops
    nothing; ask :func:`~driver.api.complaint` whether all went well.
    """
    for factor, levels in (only or {}).items():
        if isinstance(levels, str) or not isinstance(levels, Sequence):
            raise UserError(
                f"only: the factor {factor!r} needs a list of levels, not {as_written(levels)}",
                hint=f"Write only={{{factor!r}: [...]}}.",
            )
    for number, named in ((repeat, "repeat"), (jobs, "jobs")):
        if number is not None and type(number) is not int:
            raise UserError(
                f"{named} is a whole number, not {as_written(number)}", hint=f"Write {named}=1."
            )
    options = Options(
        quick=quick,
        only={
            factor: [level_text(level) for level in found] for factor, found in (only or {}).items()
        },
        repeat=repeat,
        source=None if source is None else str(source),
        unpatched_source=None if unpatched_source is None else str(unpatched_source),
        bases=words("bases", bases),
        jobs=jobs,
        force=force,
        keep_guest=attend is not None,
        dump=dump,
        digest_nvdimm=digest_nvdimm,
        kernel_args=tuple(words("kernel_args", kernel_args)),
        qemu_args=tuple(words("qemu_args", qemu_args)),
        allow_splat=tuple(words("allow_splat", allow_splat)),
        timeout_factor=timeout_factor,
        instruments=tuple(words("instruments", instruments)),
    )
    planned = plan_experiment(name, options, accel, workspace=workspace)
    return run_plan(planned, attend=attend, cluster=cluster, workspace=workspace)


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
        if planned.options.dump:
            raise UserError(
                "--dump keeps guests of this host only, not those of a cluster",
                hint="Leave --dump or --cluster out.",
            )
        return _run_on_cluster(planned, cluster, place)
    options = planned.options.model_copy(update={"keep_guest": attend is not None})
    planned = replace(planned, options=options)
    work, choice, never_ready = prepare(planned, place, attend)
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
        if planned.options.dump:
            work = dumping(work, run, place.reporter)
        with resumable(run, work, place.reporter):
            return carry_out(run, manifest, work, place.reporter)


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
            if found.never_ready is not None:
                return record_boot_failure(run, manifest, found.work, found.never_ready)
            with resumable(run, found.work, place.reporter):
                return carry_out(run, manifest, found.work, place.reporter, found.open_executor)


def prepare(
    planned: ExperimentPlan, place: Workspace, attend: Attendant | None
) -> tuple[Work, Choice, NeverReady | None]:
    """Build what the plan needs and boot one template for each kind of guest.

    The first that does not get ready ends that: the guests are those up to and with it, and nothing
    can be forked from it.
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
            prepared[request] = Prepared(None, found.record)
            break
    choice = preparation.choice
    if choice.accel == "kvm":
        refuse_jobs_under_kvm(planned.options)
    work = Work(planned.definition, planned.trials, prepared)
    return work if attend is None else keeping(work, attend), choice, never_ready


def _check(planned: ExperimentPlan, place: Workspace) -> None:
    """Find out what cannot work before minutes are spent on kernels."""
    check_possible(planned.accel)
    if planned.options.keep_guest and planned.options.jobs > 1:
        raise UserError(
            f"--keep-guest keeps one guest at a time, and --jobs asks for {planned.options.jobs}",
            hint="Leave --jobs or --keep-guest out.",
        )
    check(place.store, place.project, planned.guests, KernelSources.of_run(planned.options))
    check_writable(place.project.results)
    qemu_version()
    watchers = dict.fromkeys(name for one in planned.guests for name in one.instruments)
    if watchers:
        check_instruments(planned.accel, watchers)


def _preparation(planned: ExperimentPlan, place: Workspace) -> Preparation:
    return Preparation(place, accel=planned.accel, options=planned.options)


def _title(request: GuestRequest, template: Template) -> str:
    variant = f", variant {request.kernel.variant}" if request.kernel.variant else ""
    memory = template.recipe.machine.memory_mib
    base = f" on {request.kernel.base}" if request.kernel.base else ""
    return f"series {request.kernel.series}{base}{variant}, {memory} MiB"


@contextmanager
def resumable(run: RunDirectory, work: Work, reporter: Reporter) -> Iterator[None]:
    """Say how to continue a run that is stopped; its lock is held by the caller."""
    reporter.step(f"Running {counted(len(work.plan), 'trial')} of {work.definition.name}")
    try:
        yield
    except BaseException:
        if run.manifest.exists():
            reporter.note(
                f"finished trials are kept; continue with: driver run --resume {run.name}"
            )
        raise
