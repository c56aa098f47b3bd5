# SPDX-License-Identifier: Apache-2.0
"""``driver coverage``: which lines of a series a run has executed."""

from __future__ import annotations

from typing import Annotated

import typer

from driver import api
from driver.cli import context, options, views
from driver.errors import CheckFailed


def coverage(
    name: options.Run,
    *,
    missed: Annotated[
        bool, typer.Option("--missed", help="Also list the lines that were never executed.")
    ] = False,
    least: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            min=0,
            max=100,
            help="Exit with 1 if less of the series was executed.",
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print one line per line of source that has code.")
    ] = False,
) -> None:
    """Show which lines of its series a run has executed.

    For runs made with --instrument coverage. Counted are the lines that the series adds to the
    kernel and that have code of their own; inlined code is executed if any copy of it is.
    """
    found = api.series_coverage(name, workspace=context.workspace())
    if as_csv:
        typer.echo("file,line,executed")
        for file in found:
            for line in file.lines:
                typer.echo(f"{file.path},{line},{int(line in file.executed)}")
    else:
        views.console().print(views.coverage_table(found, missed=missed))
    lines = sum(len(file.lines) for file in found)
    share = 100 * sum(len(file.executed) for file in found) / lines if lines else 100.0
    if least is not None and share < least:
        raise CheckFailed(f"{share:.1f} % of the series was executed, less than {least:g} %")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("coverage")(coverage)
