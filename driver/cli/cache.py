# SPDX-License-Identifier: Apache-2.0
"""``driver cache``: what the cache holds, and making it smaller."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import runs
from driver.store import Store
from driver.text import binary

if TYPE_CHECKING:
    from driver.prune import Entry

group = typer.Typer(help="Show what the cache holds, or make it smaller.", no_args_is_help=True)


@group.command("list")
def show() -> None:
    """Show every artifact and its size, the longest unused first."""
    from driver import prune  # noqa: PLC0415

    root = Store().root
    found = prune.entries(root)
    _print_entries(found)
    total = sum(entry.size for entry in found)
    typer.echo(
        f"{len(found)} artifacts, {binary(total)} of at most "
        f"{binary(prune.limit())} ({prune.LIMIT_VARIABLE}), in {root}"
    )
    typer.echo("kernel sources (sources/) and build directories (scratch/) come on top of that")


@group.command("prune")
def make_smaller(
    *,
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="SIZE", help="What may remain, e.g. 500M or 8G; 0: nothing."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")
    ] = False,
) -> None:
    """Remove the artifacts that were unused for longest.

    None that is in use. Everything removed is made again when it is needed. The driver does this by
    itself, with the limit that `driver cache list` shows, whenever it has made something new.
    """
    from driver import prune  # noqa: PLC0415

    most = prune.limit() if to is None else prune.parse_size(to)
    root = Store().root
    removed = prune.prune(root, most, dry_run=dry_run)
    for entry in removed:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {prune.describe(entry)}")
    freed = binary(sum(entry.size for entry in removed))
    typer.echo(f"{freed} {'would be ' if dry_run else ''}freed")


def _print_entries(entries: list[Entry]) -> None:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in ("last used", "kind", "artifact"):
        table.add_column(heading, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("about", overflow="fold")
    for entry in entries:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        about = f"{entry.about} (in use)" if entry.busy else entry.about
        table.add_row(used, entry.kind, entry.path.name[:12], binary(entry.size), about)
    runs.console().print(table)


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="cache")
