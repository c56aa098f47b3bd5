# SPDX-License-Identifier: Apache-2.0
"""``driver list`` and ``driver show``: which experiments and runs there are, and what came out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, context

if TYPE_CHECKING:
    from rich.console import Console

    from driver.experiment.conclusion import Conclusion
    from driver.results.directory import RunDirectory

# Wide enough for the tables when standard output is a file or a pipe.
_PLAIN_WIDTH = 100


def list_all() -> None:
    """Show the experiments and the runs that there are."""
    from driver.errors import UserError  # noqa: PLC0415
    from driver.experiment.load import available, load  # noqa: PLC0415
    from driver.results.directory import LATEST, RunDirectory  # noqa: PLC0415
    from driver.results.manifest import read_manifest  # noqa: PLC0415

    project = context.project()
    typer.echo("experiments:")
    for name in available(project.experiments):
        try:
            told = load(project.experiments, name).experiment.question
        except UserError as error:  # the others are there all the same
            told = f"unreadable: {error.message}"
        typer.echo(f"  {name}\n      {' '.join(told.split())}")
    typer.echo("runs:")
    for path in sorted(project.results.glob("*/manifest.json")):
        if path.parent.name == LATEST:
            continue
        run = RunDirectory(path.parent)
        try:
            manifest = read_manifest(run)
        except UserError as error:
            typer.echo(f"  {run.name}  unreadable: {error.message}")
            continue
        done = sum((run.trials / f"{trial.id}.json").exists() for trial in manifest.plan)
        typer.echo(f"  {run.name}  {manifest.status}, {done} of {len(manifest.plan)} trials")


def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run; `latest` is the newest.", autocompletion=complete.runs
        ),
    ],
    *,
    rebuild: Annotated[
        bool, typer.Option("--rebuild", help="Make the CSV files anew from the trials' records.")
    ] = False,
) -> None:
    """Show what a run found.

    It is judged anew from its files. Exits like the run did, and with 130 if it is not finished.
    """
    from driver.experiment import lifecycle  # noqa: PLC0415
    from driver.experiment.conclusion import read_conclusion  # noqa: PLC0415

    run = find(name)
    if rebuild:
        lifecycle.rebuild(run)
    finish(read_conclusion(run))


def find(name: str) -> RunDirectory:
    """The run a person means: its name, a path, or `latest`."""
    from driver.results.directory import RunDirectory  # noqa: PLC0415

    return RunDirectory.find(context.project().results, name)


def console() -> Console:
    """Where tables are printed: standard output, as wide as it is."""
    from rich.console import Console  # noqa: PLC0415

    found = Console(highlight=False)
    return found if found.is_terminal else Console(width=_PLAIN_WIDTH, highlight=False)


def finish(conclusion: Conclusion) -> None:
    """Show what a run found; raise what its exit status is made of, if it did not go well."""
    print_summary(conclusion)
    complaint = conclusion.complaint()
    if complaint is not None:
        from driver.cli.decoding import explained  # noqa: PLC0415

        raise explained(complaint, conclusion)


def print_summary(conclusion: Conclusion) -> None:
    """The summary on standard output."""
    from driver.cli.summary import summary  # noqa: PLC0415

    console().print(summary(conclusion))


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("list")(list_all)
    app.command("show")(show)
