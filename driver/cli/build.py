# SPDX-License-Identifier: Apache-2.0
"""``driver build``: the kernel and the guest image, from the store or made now."""

from __future__ import annotations

import enum
import json
from typing import Annotated, Any

import typer

from driver.cli import complete, context

DEFAULT_IMAGE = "dax"


class What(enum.StrEnum):
    """What to build."""

    KERNEL = "kernel"
    IMAGE = "image"
    ALL = "all"


def build(
    ctx: typer.Context,
    what: Annotated[What, typer.Argument(help="What to build.")] = What.ALL,
    *,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Patch series: a folder of kernel-patches/, or `none` for the kernel as it is. "
            "Default: 6.12; with --source DIR: that of the checkout, else none.",
            autocompletion=complete.series,
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="SOURCE",
            help="Kernel source: DIR (built as it stands, never written to; a series given with "
            "it adds only its configuration), debian:BASE[=VERSION], or URL#sha256=HEX. "
            "Default: the newest Debian package of the series' base.",
        ),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="More kernel configuration, e.g. `debug`.",
            autocompletion=complete.variants,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", metavar="N", min=1, help="Compilers at once. Default: all processors."
        ),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help=f"Guest image: a folder of guest-images/. Default: {DEFAULT_IMAGE}.",
            autocompletion=complete.images,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; no progress.")
    ] = False,
) -> None:
    """Build the kernel, the guest image, or both.

    What is in the cache is not built again. Prints where everything is.
    """
    if what is What.IMAGE:
        _refuse(ctx, what, "series", "source", "variant", "jobs")
    if what is What.KERNEL:
        _refuse(ctx, what, "image")
    project = context.project()
    image = DEFAULT_IMAGE if image is None else image
    if what is not What.KERNEL:
        from driver.image import build_image, check_image  # noqa: PLC0415  (pydantic: 0.2 s)

        check_image(project, image)
    built: dict[str, Any] = {}
    with context.reporting(silent=as_json) as reporter:
        store = context.store(reporter)
        if what is not What.IMAGE:
            from driver.kernel import build_kernel  # noqa: PLC0415  (pydantic: 0.2 s)

            kernel = build_kernel(
                store,
                project,
                source=source,
                series=series,
                variant=variant,
                jobs=jobs,
                reporter=reporter,
            )
            built |= {
                "release": kernel.release,
                "bzimage": str(kernel.bzimage),
                "vmlinux": str(kernel.vmlinux),
                "config": str(kernel.config),
                "log": str(kernel.build_log),
                "kernel_digest": kernel.digest,
            }
        if what is not What.KERNEL:
            initramfs = build_image(store, project, image, reporter)
            built |= {
                "initramfs": str(initramfs.initramfs),
                "image_digest": initramfs.digest,
            }
    if as_json:
        typer.echo(json.dumps(built, indent=2))
    else:
        for name, value in built.items():
            typer.echo(f"{name:<14}{value}")


def _refuse(ctx: typer.Context, what: What, *options: str) -> None:
    """No option is silently ignored: one that does not apply is a mistake worth telling."""
    for name in context.given(ctx, *options):
        raise typer.BadParameter(f"{name} has no meaning for `driver build {what}`")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("build")(build)
