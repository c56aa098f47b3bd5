# SPDX-License-Identifier: Apache-2.0
"""``driver run``: run an experiment, or continue a run that was interrupted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Annotated

import typer

from driver import api
from driver.cli import complete, context, options, runs, views
from driver.cli.output_files import check_output_file
from driver.errors import UserError

group = typer.Typer(help="Run an experiment, or continue an interrupted run.")


@group.callback(invoke_without_command=True)
def resume(
    ctx: typer.Context,
    *,
    run: Annotated[
        str | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            help="Continue this run: try the trials that are unfinished or failed. `latest` is the "
            "newest run.",
            autocompletion=complete.runs,
        ),
    ] = None,
    keep_guest: Annotated[
        bool, typer.Option("--keep-guest", help="With --resume: as in `driver run experiment`.")
    ] = False,
    allow_splat: options.AllowSplat = None,
    timeout_factor: Annotated[
        float | None,
        typer.Option(
            "--timeout-factor",
            metavar="N",
            min=0.1,
            max=1000,
            help="With --resume: as in `driver run experiment`. Default: that of the run.",
        ),
    ] = None,
    cluster: options.Cluster = None,
    keys: options.Keys = None,
    insecure: options.Insecure = False,
    junit: options.Junit = None,
) -> None:
    """Run an experiment, or continue an interrupted run."""
    with_resume = {
        "--keep-guest": keep_guest,
        "--allow-splat": allow_splat,
        "--timeout-factor": timeout_factor,
        "--cluster": cluster,
        "--junit": junit,
        "--keys": keys,
        "--insecure": insecure,
    }
    names = (name.removeprefix("--").replace("-", "_") for name in with_resume)
    misplaced = context.given(ctx, *names)
    if misplaced and run is None:
        raise UserError(
            f"{misplaced[0]} before the experiment needs --resume",
            hint=f"Put it last: driver run experiment NAME {_typed(misplaced[0], with_resume)}",
        )
    if ctx.invoked_subcommand is not None:
        if run is not None:
            raise UserError(
                "--resume continues the plan that a run began with; it takes no experiment",
                hint=f"Type only: driver run --resume {shlex.quote(run)}",
            )
        return
    if run is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(UserError.exit_status)
    check_output_file(junit, "junit.xml")
    keep_guest = keep_guest or api.run_options(run, workspace=context.workspace()).keep_guest
    if keep_guest:
        views.check_terminal()
    with context.reporting() as reporter:
        place = context.workspace(reporter)
        attend = views.attend if keep_guest else None
        conclusion = api.resume_run(
            run,
            allow_splat=allow_splat or (),
            timeout_factor=timeout_factor,
            attend=attend,
            cluster=options.cluster_of(cluster, keys, insecure=insecure),
            workspace=place,
        )
    runs.finish(conclusion, place, junit=junit)


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
        bool, typer.Option("--quick", help="Run the experiment's small plan, for CI.")
    ] = False,
    only: options.Only = None,
    repeat: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Run the whole plan N times, in interleaved rounds."),
    ] = None,
    jobs: options.Guests = 1,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Allow --jobs under KVM, where guests disturb each other's times; the manifest "
            "then marks times as invalid.",
        ),
    ] = False,
    accel: options.AccelOption = None,
    source: options.SourceOfArms = None,
    unpatched_source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Kernel source for the arms without a series, such as your tree without your "
            "change. Default: the newest Debian package of the base.",
        ),
    ] = None,
    base: options.Bases = None,
    kernel_arg: options.KernelArgs = None,
    qemu_arg: options.QemuArgs = None,
    instrument: options.Instruments = None,
    keep_guest: options.KeepGuest = False,
    dump: Annotated[
        bool,
        typer.Option(
            "--dump",
            help="Keep a compressed dump of the memory of each guest whose kernel complains or "
            "hangs; `driver debug RUN TRIAL` opens it. Kernels are built with debug information.",
        ),
    ] = False,
    allow_splat: options.AllowSplat = None,
    timeout_factor: options.TimeoutFactor = 1.0,
    digest_nvdimm: Annotated[
        bool,
        typer.Option(
            "--digest-nvdimm",
            help="Under icount, also compare the NVDIMM contents that the rounds leave; a trial "
            "then takes up to 1.5 times as long.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan and the time it may take; run nothing."),
    ] = False,
    show_command: options.ShowCommand = False,
    cluster: options.Cluster = None,
    keys: options.Keys = None,
    insecure: options.Insecure = False,
    junit: options.Junit = None,
) -> None:
    """Run all trials of an experiment and check the results.

    They are compared with what the experiment expects.
    """
    check_output_file(junit, "junit.xml")
    chosen = api.Options(
        quick=quick,
        only=options.levels_of(only or []),
        repeat=repeat,
        source=source,
        unpatched_source=unpatched_source,
        bases=options.versions_of(base),
        jobs=jobs,
        force=force,
        keep_guest=keep_guest,
        dump=dump,
        digest_nvdimm=digest_nvdimm,
        kernel_args=tuple(kernel_arg or ()),
        qemu_args=tuple(qemu_arg or ()),
        allow_splat=tuple(dict.fromkeys(allow_splat or ())),
        timeout_factor=timeout_factor,
        instruments=tuple(instrument or ()),
    )
    hosts = options.cluster_of(cluster, keys, insecure=insecure)
    place = context.workspace()
    planned = api.plan_experiment(name, chosen, accel and accel.requested, workspace=place)
    if dry_run:
        api.check_plan(planned, workspace=place)
        views.print_plan(planned, planned.estimate(workspace=place))
        return
    if keep_guest:
        views.check_terminal()
    with context.reporting() as reporter:
        place = context.workspace(reporter)
        if show_command:
            lines = api.guest_commands(planned, workspace=place)
        else:
            attend = views.attend if keep_guest else None
            conclusion = api.run_plan(planned, attend=attend, cluster=hosts, workspace=place)
    if show_command:
        for kind, line in lines.items():
            typer.echo(f"# {kind}\n{line}")
    else:
        runs.finish(conclusion, place, junit=junit)


def _typed(option: str, values: Mapping[str, object]) -> str:
    """An option as it is typed, with its value; the first one if it is repeatable."""
    value = values[option]
    if isinstance(value, list):
        value = value[0]
    return option if value is True else f"{option} {shlex.quote(str(value))}"


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="run")
