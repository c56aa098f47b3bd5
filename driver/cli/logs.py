# SPDX-License-Identifier: Apache-2.0
"""``driver logs``: what the guests of a run printed, and how each attempt at a trial ended."""

from __future__ import annotations

from typing import Annotated

import typer

from driver import api
from driver.cli import complete, context, options, views


def logs(
    name: options.Run,
    trial: Annotated[
        str | None,
        typer.Argument(
            metavar="TRIAL",
            help="A trial of the run; a unique prefix of its name is enough.",
            autocompletion=complete.trials,
        ),
    ] = None,
    *,
    failed: Annotated[
        bool,
        typer.Option(
            "--failed", help="Show only trials without a result, or with a fault in any attempt."
        ),
    ] = False,
    attempt: Annotated[
        int | None,
        typer.Option(
            "--attempt", metavar="N", min=1, help="Show the console of this attempt, not the last."
        ),
    ] = None,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", metavar="N", min=1, help="Show only the last N lines of the console."
        ),
    ] = None,
    console_only: Annotated[
        bool,
        typer.Option(
            "--console", help="Print only the console, verbatim and without source lines."
        ),
    ] = False,
    output: Annotated[
        bool,
        typer.Option("--output", help="Print what the workload printed, and not the console."),
    ] = False,
) -> None:
    """Show the trials of a run, or the console of one.

    With TRIAL: its attempts, and the console of the guest in the last one, from its boot on. Stack
    traces get source lines from the kernel that printed them, if it was built with debug
    information.
    """
    place = context.workspace_of(name)
    run = api.find_run(name, workspace=place)
    if trial is None:
        if lines is not None or console_only or attempt is not None or output:
            raise typer.BadParameter(
                "--attempt, --lines, --console and --output need the name of a trial"
            )
        views.print_trials(run, failed=failed)
        return
    if failed:
        raise typer.BadParameter("--failed lists trials; leave TRIAL out")
    if output:
        if lines is not None or console_only or attempt is not None:
            raise typer.BadParameter("--output is of the last attempt, and is no console")
        views.print_output(run, trial)
        return
    views.print_trial(
        run, trial, attempt=attempt, lines=lines, console_only=console_only, store=place.store
    )


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("logs")(logs)
