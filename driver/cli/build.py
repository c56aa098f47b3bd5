# SPDX-License-Identifier: Apache-2.0
"""``driver build``: the kernel and the guest image, from the cache or built now."""

from __future__ import annotations

import enum
import json
from typing import Annotated

import typer

from driver import api
from driver.cli import context, options


class What(enum.StrEnum):
    """What to build."""

    KERNEL = "kernel"
    IMAGE = "image"
    ALL = "all"


def build(
    ctx: typer.Context,
    what: Annotated[What, typer.Argument(help="What to build.")] = What.ALL,
    *,
    series: options.Series = None,
    source: options.Source = None,
    base: options.Linux = None,
    variant: options.Variant = None,
    jobs: options.Compilers = None,
    image: options.Image = options.DEFAULT_IMAGE,
    as_json: options.AsJson = False,
) -> None:
    """Build the kernel, the guest image, or both.

    Anything already in the cache is reused. Prints the path of each result.
    """
    if what is What.IMAGE:
        _refuse(ctx, what, "series", "source", "base", "variant", "jobs")
    if what is What.KERNEL:
        _refuse(ctx, what, "image")
    built: dict[str, str] = {}
    with context.reporting(silent=as_json) as reporter:
        place = context.workspace(reporter)
        if what is not What.KERNEL:
            api.check_image(image, workspace=place)
        if what is not What.IMAGE:
            kernel = api.build_kernel(
                series=series, source=source, base=base, variant=variant, jobs=jobs, workspace=place
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
            initramfs = api.build_image(image, workspace=place)
            built |= {
                "initramfs": str(initramfs.initramfs),
                "image_digest": initramfs.digest,
            }
    if as_json:
        typer.echo(json.dumps(built, indent=2))
    else:
        for name, value in built.items():
            typer.echo(f"{name:<14}{value}")


def _refuse(ctx: typer.Context, what: What, *names: str) -> None:
    """No option is silently ignored: one that does not apply is an error."""
    for name in context.given(ctx, *names):
        raise typer.BadParameter(f"{name} does not apply to `driver build {what}`")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("build")(build)
