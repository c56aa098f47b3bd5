# SPDX-License-Identifier: Apache-2.0
"""``driver suite``: run other people's tests on several kernels, and compare case by case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver import api
from driver.atomic_write import write_atomically
from driver.cli import complete, context, options, views
from driver.cli.output_files import check_output_file
from driver.errors import INTERRUPTED, CheckFailed, DriverError
from driver.text import counted, verb

if TYPE_CHECKING:
    from driver.api import SuiteResult

group = typer.Typer(help="Run a test suite on several kernels; compare the cases.")

Ktap = Annotated[
    Path | None, typer.Option("--ktap", metavar="FILE", help="Also write the results as KTAP.")
]


@group.command("run")
def run(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME|DIR",
            help="A folder of experiments/suites/, or a folder of your own with a suite.toml.",
            autocompletion=complete.suites,
        ),
    ],
    *,
    only: options.Only = None,
    confirm: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=0,
            help="Run what does worse N more times on each kernel; only what does worse every time "
            "counts.",
        ),
    ] = 2,
    base: options.Bases = None,
    source: options.SourceOfArms = None,
    jobs: options.Guests = 1,
    accel: options.AccelOption = None,
    cluster: options.Cluster = None,
    keys: options.Keys = None,
    insecure: options.Insecure = False,
    instrument: options.Instruments = None,
    dry_run: options.DryRun = False,
    junit: options.Junit = None,
    ktap: Ktap = None,
) -> None:
    """Run each program of a suite on each kernel.

    Each has a guest of its own: one that hangs or crashes its guest is a row of the table and stops
    nothing. Exits with 1 if a test does worse than on the first kernel.
    """
    _check_files(junit, ktap)
    chosen = api.Options(
        only=options.levels_of(only or []),
        source=source,
        bases=options.versions_of(base),
        jobs=jobs,
        instruments=tuple(instrument or ()),
    )
    hosts = options.cluster_of(cluster, keys, insecure=insecure)
    place = context.workspace()
    planned = api.plan_suite(name, chosen, accel and accel.requested, workspace=place)
    if dry_run:
        api.check_plan(planned, workspace=place)
        views.print_plan(planned, planned.estimate(workspace=place))
        return
    with context.reporting() as reporter:
        place = context.workspace(reporter)
        result = api.run_suite(planned, confirm=confirm, cluster=hosts, workspace=place)
    _finish(result, junit, ktap)


@group.command("show")
def show(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="A run of a suite, and runs that repeated some of it.",
            autocompletion=complete.runs,
        ),
    ],
    *,
    junit: options.Junit = None,
    ktap: Ktap = None,
) -> None:
    """Show the results of a suite from the files of its runs."""
    _check_files(junit, ktap)
    _finish(api.read_suite_result(names, workspace=context.workspace_of(*names)), junit, ktap)


@group.command("list")
def list_suites() -> None:
    """List the suites of the project."""
    for name, description in api.suites(workspace=context.workspace()).items():
        typer.echo(f"{name}\n    {description}")


def _check_files(junit: Path | None, ktap: Path | None) -> None:
    """Find out before hours of tests that their results cannot be written."""
    check_output_file(junit, "junit.xml")
    check_output_file(ktap, "results.ktap")


def _finish(result: SuiteResult, junit: Path | None, ktap: Path | None) -> None:
    if junit is not None:
        write_atomically(junit, result.as_junit())
    if ktap is not None:
        write_atomically(ktap, result.as_ktap())
    views.console().print(views.suite_table(result))
    if result.worse:
        raise CheckFailed(
            f"{counted(len(result.worse), 'test')} {verb(len(result.worse), 'does', 'do')} worse "
            f"than on {result.kernels[0]}",
            hint=f"Their output: driver logs {result.runs[0].name} TRIAL --output",
        )
    if result.unfinished:
        raise Unfinished(
            f"{counted(result.unfinished, 'trial')} {verb(result.unfinished, 'has', 'have')} not "
            "been run",
            hint=f"Continue with: driver run --resume {result.runs[-1].name}",
        )


class Unfinished(DriverError):
    """What was run is good, and not all of it was run."""

    exit_status = INTERRUPTED


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="suite")
