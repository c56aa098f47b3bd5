# SPDX-License-Identifier: Apache-2.0
"""Which experiments and runs there are."""

from __future__ import annotations

import typer

from driver.errors import UserError
from driver.experiment.load import available, load
from driver.project import Project
from driver.results.directory import LATEST, RunDirectory
from driver.results.manifest import read_manifest


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
        done = sum((run.trials / f"{trial.id}.json").exists() for trial in manifest.plan)
        typer.echo(f"  {run.name}  {manifest.status}, {done} of {len(manifest.plan)} trials")
