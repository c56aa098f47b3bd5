# SPDX-License-Identifier: Apache-2.0
"""``driver shell``: a person in a guest, with the NVDIMM mounted DAX."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from driver import api
from driver.cli import context, options, views
from driver.guest.channels import SOCKET_FOLDER


def shell(
    ctx: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="Run this command and return its exit status, instead of a shell.",
        ),
    ] = None,
    *,
    series: options.Series = None,
    source: options.Source = None,
    base: options.Linux = None,
    variant: options.Variant = None,
    image: options.Image = options.DEFAULT_IMAGE,
    rootfs: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR|FILE",
            help="A root file system of your own: a directory, or a file made by mkfs.erofs. The "
            "programs of the image are there, too.",
        ),
    ] = None,
    memory: Annotated[int, typer.Option(metavar="MIB", help="Memory of the guest.")] = 1024,
    vcpus: Annotated[int, typer.Option(metavar="N", help="Processors of the guest.")] = 2,
    nvdimm: Annotated[int, typer.Option(metavar="MIB", help="Size of the NVDIMM.")] = 2304,
    kernel_arg: options.KernelArgs = None,
    qemu_arg: options.QemuArgs = None,
    console: Annotated[
        bool,
        typer.Option("--console", help="Use the serial console instead of SSH; Ctrl-] leaves it."),
    ] = False,
    gdb: Annotated[
        bool,
        typer.Option(
            "--gdb",
            help="Let a debugger attach to the guest's kernel, and print how. Types and source "
            "lines need a kernel of --variant debug-info.",
        ),
    ] = False,
    show_command: options.ShowCommand = False,
    attach: Annotated[
        Path | None,
        typer.Option(
            metavar="SOCKET",
            help="Join the serial console of a guest kept by `driver run --keep-guest`; Ctrl-] "
            "leaves it.",
        ),
    ] = None,
) -> None:
    """Open a shell in a guest with XFS mounted DAX at /mnt/dax."""
    if attach is not None:
        others = {name for name in ctx.params if name not in ("attach", "command")}
        if command or context.given(ctx, *sorted(others)):
            raise typer.BadParameter("--attach joins a running guest; it takes no other option")
        views.attach_console(attach)
        return
    if console and command:
        raise typer.BadParameter("a command runs over SSH; leave --console out")
    machine = api.Machine(
        memory_mib=memory,
        vcpus=vcpus,
        nvdimm_mib=nvdimm,
        ssh=not console,
        # A kernel that moves itself is not where its vmlinux says.
        kernel_args=(*(["nokaslr"] if gdb else []), *(kernel_arg or ())),
        qemu_args=tuple(qemu_arg or ()),
    )
    with context.reporting() as reporter:
        place = context.workspace(reporter)
        api.check_image(image, workspace=place)
        if rootfs is not None:
            api.check_rootfs(rootfs)
        kernel = api.build_kernel(
            series=series, source=source, base=base, variant=variant, workspace=place
        )
        initramfs = api.build_image(image, workspace=place)
        if rootfs is not None:
            initramfs = api.with_rootfs(initramfs, rootfs, workspace=place)
    if show_command:
        typer.echo(api.guest_command(kernel, initramfs, machine))
        return
    with tempfile.TemporaryDirectory(prefix="driver-gdb-", dir=SOCKET_FOLDER) as folder:
        socket = Path(folder) / "gdb" if gdb else None
        with api.start_guest(
            kernel, initramfs, machine, console=console, gdb=socket, workspace=place
        ) as guest:
            if socket is not None:
                typer.echo(views.how_to_debug(kernel.vmlinux.parent, socket), err=True)
            status = views.on_console(guest) if console else views.over_ssh(guest, command or [])
    raise typer.Exit(status)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("shell")(shell)
