# SPDX-License-Identifier: Apache-2.0
"""``driver cache``: what the cache holds, and making it smaller."""

from __future__ import annotations

from typing import Annotated

import typer

from driver import prune
from driver.cli import views
from driver.store import Store
from driver.text import binary, counted

group = typer.Typer(help="Show the contents of the cache, or shrink it.", no_args_is_help=True)


@group.command("list")
def show() -> None:
    """List all artifacts and sizes, least recently used first."""
    root = Store().root
    found = prune.entries(root)
    views.print_artifacts(found)
    total = sum(entry.size for entry in found)
    typer.echo(
        f"{counted(len(found), 'artifact')}, {binary(total)} of at most "
        f"{binary(prune.limit())} ({prune.LIMIT_VARIABLE}), in {root}"
    )
    typer.echo("kernel sources (sources/) and build directories (scratch/) are not included")


@group.command("prune")
def make_smaller(
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="SIZE", help="Size to keep, e.g. 500M or 8G; 0 removes everything."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed; remove nothing.")
    ] = False,
) -> None:
    """Remove the least recently used artifacts.

    Artifacts in use stay. Anything removed is built again when needed. The driver prunes by itself,
    to the limit that `driver cache list` shows, whenever it has built something.
    """
    most = prune.limit() if to is None else prune.parse_size(to)
    root = Store().root
    removed = prune.prune(root, most, dry_run=dry_run)
    for entry in removed:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {prune.describe(entry)}")
    freed = binary(sum(entry.size for entry in removed))
    typer.echo(f"{'would free' if dry_run else 'freed'} {freed}")


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="cache")
