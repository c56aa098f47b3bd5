# SPDX-License-Identifier: Apache-2.0
"""``driver report``: a run as one HTML file, to read, to attach to a mail, to keep."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, runs
from driver.errors import UserError

if TYPE_CHECKING:
    from driver.results.record import TrialRecord

_NAME = "report.html"


def report(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run; `latest` is the newest.", autocompletion=complete.runs
        ),
    ],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=f"Where to write it; `-` is standard output. Default: {_NAME} inside the run.",
        ),
    ] = None,
) -> None:
    """Write a run as one self-contained page of HTML.

    Question, numbers, verdicts, charts, provenance, and how to repeat it. The page loads nothing
    from anywhere, follows the reader's light or dark setting, and fits a phone. It is made from the
    run's files alone and can be made again at any time.
    """
    from driver.atomic_write import write_atomically  # noqa: PLC0415
    from driver.cli.decoding import decode_trial, with_note  # noqa: PLC0415
    from driver.experiment.conclusion import read_conclusion  # noqa: PLC0415  (pandas: half a second)
    from driver.htmlreport.page import render  # noqa: PLC0415

    run = runs.find(name)
    conclusion = read_conclusion(run)

    def excerpt(record: TrialRecord) -> str:
        manifest, experiment = conclusion.run.manifest, conclusion.experiment
        return with_note(decode_trial(record.last.excerpt, manifest, experiment, record.factors))

    html = render(conclusion, excerpt=excerpt)
    if output == Path("-"):
        typer.echo(html, nl=False)
        return
    path = output or run.path / _NAME
    if path.is_dir():
        raise UserError(f"{path} is a directory", hint=f"Name a file: -o {path / _NAME}")
    if not path.parent.is_dir():
        raise UserError(f"there is no directory {path.parent}", hint="Make it first.")
    try:
        write_atomically(path, html.encode())
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise UserError(
            f"{path.parent} may not be written to: {error.strerror}",
            hint=f"Write it elsewhere: driver report {name} -o {_NAME}",
        ) from error
    typer.echo(path)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("report")(report)
