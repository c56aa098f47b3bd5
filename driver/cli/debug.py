# SPDX-License-Identifier: Apache-2.0
"""``driver debug`` and ``driver inspect``: a guest's memory, by a debugger or as page tables."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Annotated

import typer

from driver import api
from driver.atomic_write import write_atomically
from driver.cli import complete, context, options, views
from driver.errors import CheckFailed, UserError
from driver.process import quote
from driver.text import share

Trial = Annotated[
    str,
    typer.Argument(
        metavar="TRIAL",
        help="A trial of the run; a unique prefix of its name is enough.",
        autocompletion=complete.trials,
    ),
]
Attempt = Annotated[
    int | None,
    typer.Option("--attempt", metavar="N", min=1, help="The dump of this attempt, not the last."),
]


def debug(
    name: options.Run,
    trial: Trial,
    *,
    attempt: Attempt = None,
    debugger: Annotated[
        str | None,
        typer.Option(
            "--with", metavar="PROGRAM", help="`drgn` or `crash`. Default: what is installed."
        ),
    ] = None,
    show_command: Annotated[
        bool, typer.Option("--show-command", help="Print the line that opens it, and exit.")
    ] = False,
) -> None:
    """Open the dump of a crashed guest in a debugger.

    `driver run experiment --dump` makes one of each guest whose kernel complains. The debugger gets
    the vmlinux of the kernel that ran, with types and source lines.
    """
    place = context.workspace()
    run = api.find_run(name, workspace=place)
    chosen = views.match(trial, _trials(run), run.name)
    dump = api.find_dump(run, chosen, attempt=attempt, workspace=place)
    command = dump.command(debugger)
    if show_command:
        typer.echo(quote(command))
        return
    raise typer.Exit(subprocess.call(command))


def inspect(
    name: options.Run,
    trial: Trial,
    *,
    phase: Annotated[str | None, typer.Option(metavar="NAME", help="Show only this phase.")] = None,
    dump: Annotated[
        bool, typer.Option("--dump", help="Look into the dump of the trial's guest.")
    ] = False,
    attempt: Attempt = None,
    draw: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also draw who shares what, as SVG: a part per phase."),
    ] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line per page table.")] = False,
) -> None:
    """Show page tables as they were in a guest's memory.

    Those of mappings of DAX files, from each process's PGD down, with physical addresses, and who
    shares what. For runs made with --instrument page-tables, which looks at each phase, or --dump.
    Exits with 1 if the kernel counted anything else than was there.
    """
    place = context.workspace()
    run = api.find_run(name, workspace=place)
    chosen = views.match(trial, _trials(run), run.name)
    if dump or attempt is not None:
        found = api.inspect_dump(run, chosen, attempt=attempt, workspace=place)
    else:
        found = api.page_tables(run, chosen, workspace=place)
    phases = found.phases if phase is None else [phase]
    if not set(phases) <= set(found.phases):
        raise UserError(
            f"{chosen} was not looked at in a phase {phase!r}",
            hint=f"Possible: {', '.join(found.phases) or 'none'}.",
        )
    if as_csv:
        shown = found.tables[found.tables["phase"].isin(phases)]
        typer.echo(shown.to_csv(index=False), nl=False)
    else:
        views.console().print(views.page_table_tree(found, phases))
    if draw is not None:
        write_atomically(draw, views.page_table_picture(found, phases))
    wrong = found.differences
    if len(wrong):
        first = wrong.iloc[0]
        raise CheckFailed(
            f"not what is in memory: {share(len(wrong), len(found.audit), 'number')}; the first: "
            f"phase {first['phase']}, {first['what']}: the kernel states {first['stated']}, there "
            f"are {first['found']}",
        )


def _trials(run: api.RunDirectory) -> list[str]:
    return sorted(path.stem for path in run.trials.glob("*.json"))


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.command("debug")(debug)
    app.command("inspect")(inspect)
