# SPDX-License-Identifier: Apache-2.0
"""``driver list`` and ``driver show``: which experiments and runs there are, and their results."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver import api
from driver.atomic_write import write_atomically
from driver.cli import context, options, views

if TYPE_CHECKING:
    from driver.api import Conclusion, Workspace


class Listed(enum.StrEnum):
    """What `driver list` shows."""

    RUNS = "runs"
    KERNELS = "kernels"


def list_all(
    what: Annotated[
        Listed,
        typer.Argument(help="Experiments and runs, or the kernels that can be built."),
    ] = Listed.RUNS,
    *,
    refresh: Annotated[
        bool,
        typer.Option("--refresh", help="With kernels: ask the mirrors of Debian again now."),
    ] = False,
) -> None:
    """List experiments and runs, or kernels."""
    if what is Listed.KERNELS:
        with context.reporting() as reporter:
            views.print_kernels(context.workspace(reporter), refresh=refresh)
        return
    if refresh:
        raise typer.BadParameter("--refresh goes with `driver list kernels`")
    project = context.project()
    views.print_experiments(project)
    views.print_runs(project)


def show(
    name: options.Run,
    *,
    allow_splat: options.AllowSplat = None,
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Make the CSV files again from the records of the trials."),
    ] = False,
    as_json: options.AsJson = False,
    junit: options.Junit = None,
) -> None:
    """Show the results of a run.

    Its checks are evaluated again from its files. Exits like the run did, and with 130 if it is not
    finished.
    """
    place = context.workspace_of(name)
    run = api.find_run(name, workspace=place)
    if rebuild:
        api.rebuild_run(run)
    conclusion = api.read_run(run).allowing(allow_splat or ())
    finish(conclusion, place, as_json=as_json, junit=junit)


def finish(
    conclusion: Conclusion, place: Workspace, *, as_json: bool = False, junit: Path | None = None
) -> None:
    """Print the summary of a run; raise what its exit status is made of, if it did not go well."""
    if junit is not None:
        write_atomically(junit, api.run_as_junit(conclusion))
    if as_json:
        typer.echo(api.run_as_json(conclusion), nl=False)
    else:
        views.console().print(views.summary(conclusion))
    complaint = api.complaint(conclusion, workspace=place)
    if complaint is not None:
        raise complaint


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("list")(list_all)
    app.command("show")(show)
