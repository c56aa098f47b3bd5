# SPDX-License-Identifier: Apache-2.0
"""``driver run``: run an experiment, or go on with a run that was interrupted."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, context, runs
from driver.errors import UserError

if TYPE_CHECKING:
    from driver.experiment.conclusion import Conclusion
    from driver.experiment.load import Definition
    from driver.experiment.plan import Trial
    from driver.experiment.work import Work
    from driver.guest.accel import Choice, Requested
    from driver.progress import Reporter
    from driver.results.directory import RunDirectory
    from driver.results.manifest import Manifest, Options


class Accel(enum.Enum):
    """What --accel may be; see docs/measurement-validity.md. `exact`: alias of `icount`."""

    AUTO = "auto"
    TCG = "tcg"
    ICOUNT = "icount"
    KVM = "kvm"
    EXACT = "exact"

    @property
    def requested(self) -> Requested:
        """What it stands for."""
        return Accel.ICOUNT.value if self is Accel.EXACT else self.value


group = typer.Typer(help="Run an experiment, or go on with an interrupted run.")


@group.callback(invoke_without_command=True)
def resume(
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Go on with this run: try what is unfinished or failed. `latest` is the newest.",
            autocompletion=complete.runs,
        ),
    ] = None,
    keep_guest: Annotated[
        bool, typer.Option("--keep-guest", help="With --resume: as in `driver run experiment`.")
    ] = False,
) -> None:
    """Run an experiment, or go on with an interrupted run."""
    if keep_guest and run is None:
        raise UserError(
            "--keep-guest before the experiment goes with --resume",
            hint="Say it behind: driver run experiment NAME --keep-guest",
        )
    if ctx.invoked_subcommand is not None:
        if run is not None:
            raise UserError(
                "--resume goes on with the plan a run began with; it takes no experiment",
                hint=f"Say only: driver run --resume {run}",
            )
        return
    if run is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(UserError.exit_status)
    _resume(run, keep_guest=keep_guest)


@group.command("experiment")
def experiment(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A folder of experiments/; see `driver list`.",
            autocompletion=complete.experiments,
        ),
    ],
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="The small plan of the experiment, for CI.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR=LEVEL[,LEVEL]", help="Run only these levels of a factor."),
    ] = None,
    repeat: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Rounds of the whole plan, interleaved.")
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Guests that run at the same time."),
    ] = 1,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Allow --jobs under KVM, where guests disturb each other's times; the manifest "
            "then says that times are not valid.",
        ),
    ] = False,
    accel: Annotated[
        Accel | None,
        typer.Option(
            help="What executes the guest, and thus what its numbers mean; `auto` is KVM where it "
            "is proven to work, else tcg.  [default: what the experiment needs, or else auto]",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Kernel source for the arms that have a series, as in `driver build`; "
            "an arm without a series stays the unpatched kernel.",
        ),
    ] = None,
    keep_guest: Annotated[
        bool,
        typer.Option(
            "--keep-guest",
            help="When a trial fails let its guest stay, say how to reach it (a shell on its "
            "serial console, gdb), and wait for Enter.",
        ),
    ] = False,
    digest_nvdimm: Annotated[
        bool,
        typer.Option(
            "--digest-nvdimm",
            help="Under icount, compare what rounds left on the NVDIMM, too: takes up to half as "
            "long again.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what it may take; run nothing.")
    ] = False,
) -> None:
    """Run all trials of an experiment and judge the results.

    They are held against what the experiment expects.
    """
    from driver.cli.guests import check, validity  # noqa: PLC0415
    from driver.experiment.load import load  # noqa: PLC0415
    from driver.experiment.plan import Selection, guests, make_plan  # noqa: PLC0415
    from driver.experiment.run_manifest import new_manifest  # noqa: PLC0415  (pandas: half a second)
    from driver.results.directory import RunDirectory  # noqa: PLC0415
    from driver.results.manifest import Options  # noqa: PLC0415

    project = context.project()
    definition = load(project.experiments, name)
    accel = accel or Accel(definition.experiment.accelerator)
    if accel is Accel.KVM:
        _refuse_jobs_under_kvm(jobs, force=force)
    options = Options(
        quick=quick,
        only=_levels(only or []),
        repeat=repeat,
        source=source,
        jobs=jobs,
        force=force,
        keep_guest=keep_guest,
        digest_nvdimm=digest_nvdimm,
    )
    selection = Selection(only=options.only, repeat=repeat, quick=quick)
    plan = make_plan(definition.experiment, selection)
    if dry_run:
        check(project, guests(plan))
        _print_plan(definition, plan, options)
        return
    with context.reporting() as reporter:
        work, choice = _prepare(definition, plan, options, accel.requested, reporter)
        run = RunDirectory.create(project.results, definition.name)
        with run.lock():
            manifest = new_manifest(
                run,
                work,
                options=options,
                validity=validity(choice),
                project=project.root,
                why=choice.reason,
            )
            conclusion = _go(run, manifest, work, reporter)
    runs.finish(conclusion)


def _resume(name: str, *, keep_guest: bool) -> None:
    from driver.experiment.run_manifest import check_same_guests, planned_run  # noqa: PLC0415
    from driver.results.directory import RunDirectory  # noqa: PLC0415

    run = RunDirectory.find(context.project().results, name)
    with context.reporting() as reporter, run.lock():
        manifest, definition, plan = planned_run(run)
        if keep_guest:
            options = manifest.options.model_copy(update={"keep_guest": True, "jobs": 1})
            manifest = manifest.model_copy(update={"options": options})
        work, _ = _prepare(definition, plan, manifest.options, manifest.accelerator.value, reporter)
        check_same_guests(manifest, work.guests)
        going_on = manifest.model_copy(update={"status": "running", "finished": None})
        conclusion = _go(run, going_on, work, reporter)
    runs.finish(conclusion)


def _prepare(
    definition: Definition,
    plan: Sequence[Trial],
    options: Options,
    accel: Requested,
    reporter: Reporter,
) -> tuple[Work, Choice]:
    """Build what the plan needs and boot one template for each kind of guest."""
    from driver.cli import keep  # noqa: PLC0415
    from driver.cli.guests import Preparation, check  # noqa: PLC0415
    from driver.experiment.plan import guests  # noqa: PLC0415
    from driver.experiment.work import Work  # noqa: PLC0415
    from driver.guest.accel import check_possible  # noqa: PLC0415
    from driver.guest.template_recipe import qemu_version  # noqa: PLC0415

    # Before minutes are spent on kernels.
    check_possible(accel)
    if options.keep_guest:
        keep.check_possible(options.jobs)
    check(context.project(), guests(plan))
    qemu_version()
    preparation = Preparation(
        store=context.store(reporter),
        project=context.project(),
        accel=accel,
        source=options.source,
        reporter=reporter,
    )
    prepared = {request: preparation.guest(request) for request in guests(plan)}
    choice = preparation.choice
    if choice.accel == "kvm":
        _refuse_jobs_under_kvm(options.jobs, force=options.force)
    work = Work(definition, plan, prepared)
    return keep.keeping(work) if options.keep_guest else work, choice


def _refuse_jobs_under_kvm(jobs: int, *, force: bool) -> None:
    if jobs > 1 and not force:
        raise UserError(
            "under KVM the results hold times, and guests that run side by side disturb each other",
            hint="Leave --jobs out, count with --accel tcg, or give up times with --force.",
        )


def _go(run: RunDirectory, manifest: Manifest, work: Work, reporter: Reporter) -> Conclusion:
    """Carry the run out; its lock is held by the caller."""
    from driver.experiment.lifecycle import carry_out  # noqa: PLC0415

    reporter.step(f"Running {len(work.plan)} trials of {work.definition.name}")
    try:
        return carry_out(run, manifest, work, reporter)
    except BaseException:
        if run.manifest.exists():
            reporter.note(f"finished trials are kept; go on with: driver run --resume {run.name}")
        raise


def _levels(only: Sequence[str]) -> dict[str, list[str]]:
    chosen: dict[str, list[str]] = {}
    for text in only:
        found = re.fullmatch(r"([^=,]+)=([^=]+)", text)
        if found is None:
            raise UserError(
                f"--only {text!r} is not FACTOR=LEVEL", hint="For example: --only processes=1,4"
            )
        chosen.setdefault(found[1], []).extend(found[2].split(","))
    return chosen


def _print_plan(definition: Definition, plan: Sequence[Trial], options: Options) -> None:
    from driver.experiment.estimate import estimate  # noqa: PLC0415
    from driver.experiment.plan import guests  # noqa: PLC0415
    from driver.text import counted  # noqa: PLC0415

    kinds = guests(plan)
    seconds = estimate(context.project().results, definition.name, plan, options.jobs)
    for trial in plan:
        writes = "".join(f"  {write.path}={write.text}" for write in trial.job.setup)
        typer.echo(f"{trial.id}\t{' '.join(trial.job.argv)}{writes}")
    kernels = ", ".join(dict.fromkeys(f"series {request.kernel.series}" for request in kinds))
    rounds = counted(max(trial.repeat for trial in plan) + 1, "round")
    typer.echo(f"{counted(len(plan), 'trial')} in {rounds}; {kernels}")
    if seconds is None:
        typer.echo("no earlier run of this experiment to estimate the time from")
    else:
        typer.echo(f"about {seconds:.0f} s, judged by the newest earlier run, without building")


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="run")
