# SPDX-License-Identifier: Apache-2.0
"""``driver shell``: a person in a guest, with the NVDIMM mounted DAX."""

from __future__ import annotations

import shlex
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, context
from driver.cli.debugger import how_to_debug
from driver.cli.decoding import WITH_LINES, decode_from, with_note
from driver.errors import GuestError, GuestSplat, UserError, WorkloadFailed

if TYPE_CHECKING:
    from driver.guest.session import Guest

_PROVISION_SECONDS = 180.0


def shell(
    ctx: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="Run this command and return its exit status instead of a shell.",
        ),
    ] = None,
    *,
    series: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Patch series, or `none`; as in `driver build`.",
            autocompletion=complete.series,
        ),
    ] = None,
    source: Annotated[
        str | None, typer.Option(metavar="SOURCE", help="Kernel source; as in `driver build`.")
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Kernel variant; as in `driver build`.",
            autocompletion=complete.variants,
        ),
    ] = None,
    image: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Guest image: a folder of guest-images/.",
            autocompletion=complete.images,
        ),
    ] = "dax",
    memory: Annotated[int, typer.Option(metavar="MIB", help="Memory of the guest.")] = 1024,
    vcpus: Annotated[int, typer.Option(metavar="N", help="Processors of the guest.")] = 2,
    nvdimm: Annotated[int, typer.Option(metavar="MIB", help="Size of the NVDIMM.")] = 2304,
    console: Annotated[
        bool,
        typer.Option("--console", help="On the serial console instead of SSH; Ctrl-] leaves."),
    ] = False,
    gdb: Annotated[
        bool,
        typer.Option(
            "--gdb",
            help="Let a debugger attach to the guest's kernel, and say how. Types and source lines "
            f"need a kernel of --variant {WITH_LINES}.",
        ),
    ] = False,
    attach: Annotated[
        Path | None,
        typer.Option(
            metavar="SOCKET",
            help="Join the serial console of a guest that `driver run --keep-guest` keeps; Ctrl-] "
            "leaves it.",
        ),
    ] = None,
) -> None:
    """Open a shell in a guest with XFS mounted DAX at /mnt/dax."""
    from driver.guest.boot import boot  # noqa: PLC0415
    from driver.guest.machine import Machine  # noqa: PLC0415  (what follows takes half a second)
    from driver.guest.session import console_kept  # noqa: PLC0415
    from driver.image import build_image, check_image  # noqa: PLC0415
    from driver.kernel import build_kernel  # noqa: PLC0415
    from driver.kernel.series import default_series  # noqa: PLC0415

    if attach is not None:
        others = {name for name in ctx.params if name not in ("attach", "command")}
        if command or context.given(ctx, *sorted(others)):
            raise typer.BadParameter("--attach joins a guest as it is; it takes nothing else")
        _attach(attach)
        return
    if console and command:
        raise typer.BadParameter("a command runs over SSH; leave --console out")
    project = context.project()
    check_image(project, image)
    machine = Machine(
        memory_mib=memory,
        vcpus=vcpus,
        nvdimm_mib=nvdimm,
        ssh=not console,
        # A kernel that moves itself is not where its vmlinux says.
        kernel_args=("nokaslr",) if gdb else (),
    )
    with context.reporting() as reporter:
        store = context.store(reporter)
        kernel = build_kernel(
            store, project, source=source, series=series, variant=variant, reporter=reporter
        )
        initramfs = build_image(store, project, image, reporter)
    with tempfile.TemporaryDirectory(prefix="driver-shell-") as directory:
        socket = Path(directory) / "gdb" if gdb else None
        try:
            with (
                console_kept(store, "shell-console"),
                boot(
                    machine, kernel, initramfs, Path(directory), console=console, gdb=socket
                ) as guest,
            ):
                if socket is not None:
                    _say(how_to_debug(kernel.vmlinux.parent, socket))
                status = _inside(guest, command or [], console=console)
        except GuestError as error:
            if isinstance(error, GuestSplat) and error.excerpt:
                named = default_series(source) if series is None else series
                found = decode_from(error.excerpt, kernel.vmlinux.parent, named)
                error.excerpt = with_note(found)
            raise
    raise typer.Exit(status)


def _inside(guest: Guest, command: list[str], *, console: bool) -> int:
    """The exit status of the shell, or of the command; a kernel that complained comes first."""
    _provision(guest)
    try:
        return _on_console(guest) if console else _over_ssh(guest, command)
    finally:
        guest.check()


def _provision(guest: Guest) -> None:
    from driver.deadline import Deadline  # noqa: PLC0415
    from driver.guest.job import Job  # noqa: PLC0415

    job = Job(argv=["provision-dax", "data:1024"], timeout=_PROVISION_SECONDS)
    prepared = guest.run(job, Deadline.after(_PROVISION_SECONDS, "preparing the NVDIMM"))
    if prepared.status != 0:
        raise WorkloadFailed("the NVDIMM could not be prepared", excerpt=prepared.output)


def _over_ssh(guest: Guest, command: list[str]) -> int:
    from driver.deadline import Deadline  # noqa: PLC0415
    from driver.guest.debug_sockets import ONE_WEEK  # noqa: PLC0415

    with guest.ssh() as ssh:
        if not command:
            _say(f"{guest.release}: /mnt/dax is mounted DAX; `exit` ends the guest")
            return ssh.shell()
        done = ssh.run(shlex.join(command), Deadline.after(ONE_WEEK, "the command"))
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.status


def _on_console(guest: Guest) -> int:
    from driver.deadline import Deadline  # noqa: PLC0415
    from driver.guest import terminal  # noqa: PLC0415
    from driver.guest.debug_sockets import ONE_WEEK, SERIAL_SHELL  # noqa: PLC0415
    from driver.guest.job import Job  # noqa: PLC0415

    assert guest.live_console is not None
    _say(f"{guest.release}: /mnt/dax is mounted DAX; Ctrl-] ends the guest")
    job = Job(argv=["sh", "-c", SERIAL_SHELL], timeout=ONE_WEEK)
    ended: list[int] = []

    def serve() -> None:
        try:
            ended.append(guest.run(job, Deadline.after(ONE_WEEK, "the shell")).status)
        except GuestError as error:
            _say(error.message)
        guest.kill()  # closes the console, which ends the relay

    threading.Thread(target=serve, daemon=True).start()
    terminal.join(guest.live_console, escape=terminal.ESCAPE)
    return ended[0] if ended else 0


def _attach(path: Path) -> None:
    import socket  # noqa: PLC0415

    from driver.guest import terminal  # noqa: PLC0415

    with socket.socket(socket.AF_UNIX) as console:
        try:
            console.connect(str(path))
        except OSError as error:
            raise UserError(
                f"no guest is kept at {path}: {error.strerror}",
                hint="`driver run --keep-guest` prints the line to use, and the guest must still "
                "be kept.",
            ) from error
        _say("Enter shows a prompt, if there is a shell; Ctrl-] leaves")
        terminal.join(console, escape=terminal.ESCAPE)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("shell")(shell)
