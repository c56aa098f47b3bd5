# SPDX-License-Identifier: Apache-2.0
"""``driver patch``: a series as a git tree to work in, and back as patches that hold up."""

from __future__ import annotations

import json
import textwrap
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, context
from driver.errors import CheckFailed, UserError
from driver.text import counted

if TYPE_CHECKING:
    from driver.kernel.checkout import Checkout
    from driver.kernel.review import Report

group = typer.Typer(
    help="Work on a series of patches as commits, and check it.",
    no_args_is_help=True,
)

Series = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Patch series: a folder of kernel-patches/. Default: that of the checkout the "
        "current directory is in, else 6.12.",
        autocompletion=complete.series,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object; no progress.")]


@group.command("checkout")
def checkout(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[DIR]",
            help="The tree to make. Default: linux-SERIES here.",
            show_default=False,
        ),
    ] = None,
    *,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Patch series: a folder of kernel-patches/, or `none` to begin a new one. "
            "Default: 6.12.",
            autocompletion=complete.series,
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Kernel to put it on: a version such as 6.12 (its newest Debian package), "
            "debian:BASE=VERSION, or URL#sha256=HEX. Default: the base of the series.",
        ),
    ] = None,
) -> None:
    """Make a git tree of a kernel with a series as commits.

    They are on the tag `base`. Edit and commit there as in any kernel tree; `driver build --source
    DIR` builds it as it stands.
    """
    from driver.kernel import clone  # noqa: PLC0415  (pydantic: 0.2 s)
    from driver.kernel.series import default_series, load  # noqa: PLC0415
    from driver.kernel.sources.source import is_directory_spec  # noqa: PLC0415
    from driver.kernel.sources.spec import obtain  # noqa: PLC0415

    project = context.project()
    chosen = load(project, default_series(None) if series is None else series)
    if base is not None and is_directory_spec(base):
        base = f"debian:{base}"
    target = (folder or Path(clone.default_folder(chosen))).expanduser().resolve()
    with context.reporting() as reporter:
        store = context.store(reporter)
        source = obtain(store, base, chosen.base, reporter)
        made = clone.make(
            store, project, series=chosen, source=source, folder=target, reporter=reporter
        )
    patches = counted(len(chosen.patches), "patch")
    typer.echo(f"{made.tree}: {source.label} with {patches} on the tag `base`")
    typer.echo("  edit, then         git commit -as")
    typer.echo(f"  build it           driver build --source {made.tree}")
    typer.echo(f"  measure it         driver run experiment NAME --source {made.tree}")
    if made.series == "none":
        typer.echo(f"  make it a series   driver patch export {made.tree} --series NAME")
    else:
        typer.echo(f"  back to patches    driver patch export {made.tree}")


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
    as_json: AsJson = False,
) -> None:
    """Write the commits of a checkout as a series of patches.

    Those since the tag `base`; the same files every time. The list in series.toml follows; cover
    letter and Kconfig fragments stay as they are.
    """
    from driver.kernel import export as exports  # noqa: PLC0415

    done = exports.export(context.project(), _checkout(folder), series)
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
            names = ", ".join(done.untracked[:6])
            reporter.note(f"not exported, because git does not know them: {names}")


@group.command("check")
def check(
    *,
    series: Series = None,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION",
            help="Kernel to check it on, as in `driver patch checkout`. Default: its own.",
        ),
    ] = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Build the whole kernel at every patch, not only what the series touches.",
        ),
    ] = False,
    no_build: Annotated[
        bool, typer.Option("--no-build", help="Only checkpatch: seconds instead of minutes.")
    ] = False,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", metavar="N", min=1, help="Compilers at once. Default: all processors."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every patch of a series as a maintainer would.

    checkpatch.pl --strict, sparse if it is installed, and that everything builds: the series is
    built with its options on and off, and each of its patches on top of those before it. Exits with
    1 if there is anything to complain of.
    """
    from driver.kernel import review  # noqa: PLC0415
    from driver.kernel import series as patch_series  # noqa: PLC0415
    from driver.kernel.sources.source import is_directory_spec  # noqa: PLC0415

    if no_build:
        for name, value in {"--full": full, "--jobs": jobs}.items():
            if value:
                raise typer.BadParameter(f"{name} has no meaning with --no-build")
    if base is not None and is_directory_spec(base):
        base = f"debian:{base}"
    project = context.project()
    here = context.checkout()
    default = here.series if here else patch_series.default_series(None)
    name = default if series is None else series
    if name == patch_series.NONE:
        raise UserError(
            "there are no patches yet to check",
            hint="Export them: driver patch export --series NAME",
        )
    with context.reporting(silent=as_json) as reporter:
        report = review.review(
            context.store(reporter),
            project,
            series=name,
            base=base,
            build=not no_build,
            full=full,
            jobs=jobs,
            reporter=reporter,
        )
    if as_json:
        typer.echo(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    if report.complaints:
        raise CheckFailed(f"{counted(len(report.complaints), 'complaint')} about series {name}")


def _print(report: Report) -> None:
    for found in report.complaints:
        typer.echo(f"{context.style(found.patch, '1')}: {found.check}")
        typer.echo(textwrap.indent(found.text, "  "))
    for sentence in report.done:
        typer.echo(f"{context.style('done', '32')}  {sentence}")


def _checkout(folder: Path) -> Checkout:
    from driver.kernel.checkout import enclosing  # noqa: PLC0415

    found = enclosing(folder.expanduser())
    if found is None:
        raise UserError(
            f"{folder.expanduser().resolve()} is not in a tree that `driver patch checkout` made",
            hint="Name such a tree, or make one: driver patch checkout DIR",
        )
    return found


def register(app: typer.Typer) -> None:
    """Add the command group to the application."""
    app.add_typer(group, name="patch")
