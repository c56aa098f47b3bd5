# SPDX-License-Identifier: Apache-2.0
"""``driver patch``: a series as a git tree to work in, and back as patches that hold up."""

from __future__ import annotations

import json
import shlex
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver import api
from driver.cli import context, options
from driver.errors import CheckFailed, UserError
from driver.paths import expanded
from driver.text import counted, enumerated

if TYPE_CHECKING:
    from driver.kernel.checkout import Checkout
    from driver.kernel.review import Report

group = typer.Typer(
    help="Work on a patch series as commits, and check it.",
    no_args_is_help=True,
)


@group.command("checkout")
def checkout(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="The tree to create. Default: linux-SERIES here.",
            show_default=False,
        ),
    ] = None,
    *,
    series: options.NewSeries = None,
    base: options.Base = None,
) -> None:
    """Create a git tree of a kernel with a series as commits.

    They are on top of the tag `base`. Edit and commit there as in any kernel tree; `driver build
    --source DIR` builds it as is.
    """
    with context.reporting() as reporter:
        done = api.checkout_series(
            folder, name=series, base=base, workspace=context.workspace(reporter)
        )
    tree = shlex.quote(str(done.checkout.tree))
    patches = counted(done.patches, "patch")
    typer.echo(f"{done.checkout.tree}: {done.source} with {patches} on the tag `base`")
    typer.echo("  edit, then         git commit -as")
    typer.echo(f"  build it           driver build --source {tree}")
    typer.echo(f"  measure it         driver run experiment NAME --source {tree}")
    if done.checkout.series == "none":
        typer.echo(f"  make it a series   driver patch export {tree} --series NAME")
    else:
        typer.echo(f"  back to patches    driver patch export {tree}")


@group.command("export")
def export(
    folder: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="The checkout. Default: the current directory.")
    ] = Path(),
    *,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of a new series. Default: the one that the checkout was made from.",
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Write the commits of a checkout as a patch series.

    Those since the tag `base`; the same commits always give the same files. The list in series.toml
    is updated; cover letter and Kconfig fragments stay unchanged.
    """
    done = api.export_series(_checkout(folder), series, workspace=context.workspace())
    if as_json:
        typer.echo(json.dumps({**asdict(done), "folder": str(done.folder)}, indent=2))
        return
    for name in done.written:
        typer.echo(f"written    {done.folder.name}/{name}")
    for name in done.removed:
        typer.echo(f"removed    {done.folder.name}/{name}")
    typer.echo(f"unchanged  {counted(len(done.unchanged), 'patch')} of {done.folder}")
    if done.untracked:
        with context.reporting() as reporter:
            names = enumerated(done.untracked, 6)
            reporter.note(f"not exported, because git does not track them: {names}")


@group.command("import")
def import_(
    mails: Annotated[
        Path,
        typer.Argument(
            metavar="PATH", help="A mailbox, a mail, or a directory of them.", show_default=False
        ),
    ],
    *,
    series: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the new series. Default: from its subject."),
    ] = None,
    base: options.Base = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a series of patches that somebody posted.

    PATH is what `b4 am` wrote, or what a mail program saved. The patches are applied to the base
    first: a series that is incomplete or does not apply is refused, and nothing is written.
    """
    with context.reporting(silent=as_json) as reporter:
        done = api.import_series(
            expanded(mails), name=series, base=base, workspace=context.workspace(reporter)
        )
    if as_json:
        typer.echo(json.dumps({**asdict(done), "folder": str(done.folder)}, indent=2))
        return
    typer.echo(f"{done.folder}: {counted(len(done.patches), 'patch')} for {done.source}")
    typer.echo(f"  read it            driver patch checkout --series {done.name}")
    typer.echo(f"  check it           driver patch check --series {done.name}")
    typer.echo(f"  build it           driver build --series {done.name}")


@group.command("check")
def check(
    *,
    series: options.SeriesOfCheckout = None,
    base: options.Base = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Build the whole kernel at every patch, not only what the series touches.",
        ),
    ] = False,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Run only checkpatch: seconds instead of minutes.")
    ] = False,
    jobs: options.Compilers = None,
    as_json: options.AsJson = False,
) -> None:
    """Check every patch of a series as a maintainer would.

    checkpatch.pl --strict, sparse if it is installed, and that everything builds: the series with
    its options on and off, and each patch on top of the previous ones. Exits with 1 if there are
    complaints.
    """
    if no_build:
        for name, value in {"--full": full, "--jobs": jobs}.items():
            if value:
                raise typer.BadParameter(f"{name} does not apply with --no-build")
    here = context.checkout()
    if series is None and here is not None:
        series = here.series
    with context.reporting(silent=as_json) as reporter:
        report = api.review_series(
            series,
            base=base,
            build=not no_build,
            full=full,
            jobs=jobs,
            workspace=context.workspace(reporter),
        )
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    if report.complaints:
        raise CheckFailed(
            f"{counted(len(report.complaints), 'complaint')} about series {report.series}",
            hint=f"Fix them in a tree of it: driver patch checkout --series {report.series} DIR",
        )


def _print(report: Report) -> None:
    for found in report.complaints:
        typer.echo(f"{context.style(found.patch, '1')}: {found.check}")
        typer.echo(textwrap.indent(found.text, "  "))
    for sentence in report.done:
        typer.echo(f"{context.style('done', '32')}  {sentence}")


def _checkout(folder: Path) -> Checkout:
    folder = expanded(folder)
    found = api.enclosing_checkout(folder)
    if found is None:
        raise UserError(
            f"{folder.resolve()} is not in a tree that `driver patch checkout` made",
            hint="Name such a tree, or create one: driver patch checkout DIR",
        )
    return found


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="patch")
