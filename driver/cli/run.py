# SPDX-License-Identifier: Apache-2.0
"""``driver run``: run an experiment, or continue a run that was interrupted."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from driver import api
from driver.cli import complete, context, options, runs, views
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
) -> None:
    """Run an experiment, or continue an interrupted run."""
    with_resume = {
        "--keep-guest": keep_guest,
        "--allow-splat": allow_splat,
        "--timeout-factor": timeout_factor,
        "--cluster": cluster,
    }
    misplaced = [name for name, value in with_resume.items() if value]
    if misplaced and run is None:
        raise UserError(
            f"{misplaced[0]} before the experiment needs --resume",
            hint=f"Put it last: driver run experiment NAME {misplaced[0]}",
        )
    if ctx.invoked_subcommand is not None:
        if run is not None:
            raise UserError(
                "--resume continues the plan that a run began with; it takes no experiment",
                hint=f"Type only: driver run --resume {run}",
            )
        return
    if run is None:
        typer.echo(ctx.get_help(), err=True)
        raise typer.Exit(UserError.exit_status)
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
            cluster=_cluster(cluster, keys, insecure=insecure),
            workspace=place,
        )
    runs.finish(conclusion, place)


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
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR=LEVEL[,LEVEL]", help="Run only these levels of a factor."),
    ] = None,
    repeat: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Run the whole plan N times, in interleaved rounds."),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option("--jobs", "-j", metavar="N", min=1, help="Number of guests run in parallel."),
    ] = 1,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Allow --jobs under KVM, where guests disturb each other's times; the manifest "
            "then marks times as invalid.",
        ),
    ] = False,
    accel: Annotated[
        options.Accel | None,
        typer.Option(
            help="What executes the guest, which decides what its numbers mean; `auto` is KVM if "
            "it is proven to work, else tcg.  [default: what the experiment needs, or else auto]",
            show_default=False,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Kernel source for the arms that have a series, as in `driver build`; "
            "an arm without a series keeps the unpatched kernel.",
        ),
    ] = None,
    unpatched_source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Kernel source for the arms without a series, such as your tree without your "
            "change. Default: the newest Debian package of the base.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION[,VERSION]",
            help="Version of Linux, such as 6.12; several become a factor of the experiment. "
            "Default: that of the source, else the newest that the series exist for.",
            autocompletion=complete.bases,
        ),
    ] = None,
    kernel_arg: options.KernelArgs = None,
    qemu_arg: options.QemuArgs = None,
    instrument: options.Instruments = None,
    keep_guest: options.KeepGuest = False,
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
) -> None:
    """Run all trials of an experiment and check the results.

    They are compared with what the experiment expects.
    """
    chosen = api.Options(
        quick=quick,
        only=_levels(only or []),
        repeat=repeat,
        source=source,
        unpatched_source=unpatched_source,
        bases=_bases(base),
        jobs=jobs,
        force=force,
        keep_guest=keep_guest,
        digest_nvdimm=digest_nvdimm,
        kernel_args=tuple(kernel_arg or ()),
        qemu_args=tuple(qemu_arg or ()),
        allow_splat=tuple(dict.fromkeys(allow_splat or ())),
        timeout_factor=timeout_factor,
        instruments=tuple(instrument or ()),
    )
    hosts = _cluster(cluster, keys, insecure=insecure)
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
        runs.finish(conclusion, place)


def _cluster(spec: str | None, keys: Path | None, *, insecure: bool) -> api.ClusterOptions | None:
    """The cluster that the options name, if any."""
    if spec is None:
        if keys is not None or insecure:
            raise UserError("--keys and --insecure go with --cluster")
        return None
    return api.ClusterOptions(spec, keys, insecure)


def _bases(text: str | None) -> list[str]:
    """The versions of --base, separated by commas."""
    found = [word.strip() for word in text.split(",")] if text is not None else []
    if not all(found):
        raise UserError(f"--base {text!r} lacks a version", hint="Write it as in --base 6.12,7.3.")
    return found


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


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="run")
