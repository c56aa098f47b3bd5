# SPDX-License-Identifier: Apache-2.0
"""``driver report``: a run as one HTML file, to read, to attach to a mail, to keep."""

from __future__ import annotations

import errno
import shlex
from pathlib import Path
from typing import Annotated

import typer

from driver import api
from driver.atomic_write import write_atomically
from driver.cli import context, options
from driver.cli.output_files import check_output_file
from driver.errors import UserError
from driver.text import reason

_NAME = "report.html"


def report(
    name: options.Run,
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=f"Output file; `-` is standard output. Default: {_NAME} in the run.",
        ),
    ] = None,
) -> None:
    """Write a run as one self-contained HTML page.

    Question, numbers, verdicts, charts, provenance, and how to repeat it. The page loads nothing
    from elsewhere, follows the reader's light or dark setting, and fits a phone. It is made from
    the files of the run alone and can be made again at any time.
    """
    place = context.workspace_of(name)
    run = api.find_run(name, workspace=place)
    html = api.html_report(run, workspace=place)
    if output == Path("-"):
        typer.echo(html, nl=False)
        return
    path = output or run.path / _NAME
    check_output_file(path, _NAME)
    try:
        write_atomically(path, html.encode())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise UserError(
            f"cannot write {path}: {reason(error)}",
            hint=f"Write it elsewhere: driver report {shlex.quote(name)} -o {_NAME}",
        ) from error
    typer.echo(path)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)
