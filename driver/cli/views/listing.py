# SPDX-License-Identifier: Apache-2.0
"""Which experiments and runs there are."""

from __future__ import annotations

from collections import Counter

import typer

from driver.errors import UserError
from driver.experiment.load import available, load
from driver.project import Project
from driver.results.directory import LATEST, RunDirectory
from driver.results.faults import of_rows, rows_of
from driver.results.manifest import Manifest, read_manifest
from driver.results.schema import OK, PENDING
from driver.text import share


def print_experiments(project: Project) -> None:
    """Each experiment and its question."""
    typer.echo("experiments:")
    for name in available(project.experiments):
        try:
            about = load(project.experiments, name).experiment.question
        except UserError as error:  # must not hide the other ones
            about = f"unreadable: {error.message}"
        typer.echo(f"  {name}\n      {' '.join(about.split())}")


def print_runs(project: Project) -> None:
    """Each run, its status and how many of its trials are finished."""
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
        try:
            said = _trials(run, manifest)
        except UserError as error:
            said = [error.message]
        typer.echo(f"  {run.name}  {manifest.status}, {'; '.join(said)}")


def _trials(run: RunDirectory, manifest: Manifest) -> list[str]:
    """How many trials have a result, how the others ended, and what was at fault."""
    rows = rows_of(run, manifest)
    ends = Counter(row.verdict for row in rows)
    done = ends.pop(OK, 0)
    ends.pop(PENDING, 0)
    failed = "".join(f", {number} {verdict}" for verdict, number in ends.items())
    return [
        f"{share(done, len(manifest.plan), 'trial')} finished{failed}",
        *of_rows(rows).sentences(),
    ]
