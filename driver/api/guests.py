# SPDX-License-Identifier: Apache-2.0
"""A guest of one's own: boot it, run commands in it, end it."""

from __future__ import annotations

import dataclasses
import shlex
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.api.decoding import decode_from, with_note
from driver.api.workspace import Workspace, default
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestSplat, WorkloadFailed
from driver.guest.boot import boot, kernel_file
from driver.guest.config import NO_KINDS
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files
from driver.guest.session import Guest, console_kept
from driver.guest.standalone import standalone_command
from driver.process import describe_status
from driver.text import last_lines

__all__ = [
    "CommandResult",
    "Guest",
    "Machine",
    "copy_from_guest",
    "copy_to_guest",
    "guest_command",
    "run_command",
    "start_guest",
]

# What is shown of the output of a preparation that failed.
_EXCERPT_LINES = 20
# Seconds; a namespace, a file system and 1 GiB of written extents take some 10 s under TCG.
_PROVISION_SECONDS = 180.0

# A namespace in fsdax mode, XFS on it, mounted DAX at /mnt/dax, with a file `data` of 1 GiB: a
# program of the image `dax`.
PROVISION_DAX = Job(argv=["provision-dax", "data:1024"], timeout=_PROVISION_SECONDS)

# A machine that has room for that file, and a network for SSH.
DEFAULT_MACHINE = Machine(memory_mib=1024, vcpus=2, nvdimm_mib=2304, ssh=True)


@dataclass(frozen=True)
class CommandResult:
    """What a command in a guest left behind.

    A guest without SSH has one channel for both streams: all of the output is in ``stdout``.
    """

    status: int
    stdout: str
    stderr: str = ""


@contextmanager
def start_guest(
    kernel: KernelArtifact,
    image: ImageArtifact,
    machine: Machine = DEFAULT_MACHINE,
    *,
    provision: Job | None = PROVISION_DAX,
    console: bool = False,
    gdb: Path | None = None,
    tolerate: frozenset[str] = NO_KINDS,
    agent: bool = True,
    workspace: Workspace | None = None,
) -> Iterator[Guest]:
    """A guest that is booted and provisioned, for the length of a ``with`` block.

    ``provision`` runs first and must succeed; None leaves the NVDIMM blank. With ``console`` its
    serial console is ``guest.live_console``. A debugger may attach to the Unix socket ``gdb``; the
    kernel then needs ``nokaslr`` in ``machine.kernel_args``, because its vmlinux names the
    addresses of a kernel that does not move. Complaints of the kernel of the kinds in ``tolerate``
    are ignored (:mod:`driver.guest.splat_patterns`).

    An image without our ``agent`` is neither waited for nor provisioned: start it with ``console``,
    and ``guest.log_in()`` gives a shell on its serial console.

    Raises :class:`GuestError` of the class that fits; its ``log`` is a copy of the console log in
    the cache. A kernel that complained while the guest was there is a :class:`GuestSplat` when the
    block ends, whatever else went wrong in it, with source lines if the kernel has debug
    information.
    """
    place = workspace or default()
    with (
        _source_lines(kernel),
        tempfile.TemporaryDirectory(prefix="driver-guest-") as folder,
        console_kept(place.store, "guest-console"),
        boot(
            machine,
            kernel,
            image,
            Path(folder),
            console=console,
            gdb=gdb,
            tolerate=tolerate,
            agent=agent,
        ) as guest,
    ):
        try:
            if provision is not None and agent:
                _provision(guest, provision)
            yield guest
        finally:
            guest.check()


def run_command(
    guest: Guest, command: str | Sequence[str], *, timeout: float = 60.0
) -> CommandResult:
    """Run a command in a guest and return its exit status and output.

    A string is a line for the guest's shell. Over SSH where the guest has it, else by the agent.
    ``timeout`` is in seconds of the host. Raises :class:`GuestTimeout` when it passes,
    :class:`GuestSplat` if the kernel complains meanwhile, :class:`GuestLost` if the guest goes.
    """
    words = ["sh", "-c", command] if isinstance(command, str) else list(command)
    deadline = Deadline.after(timeout, f"`{shlex.join(words)}`")
    if guest.machine.ssh:
        with guest.ssh() as ssh:
            done = ssh.run(command, deadline)
        guest.check()
        return CommandResult(done.status, done.stdout, done.stderr)
    result = guest.run(Job(argv=words, timeout=timeout), deadline)
    return CommandResult(result.status, result.output)


def copy_to_guest(
    guest: Guest, local: Path, remote: str, *, mode: int = 0o644, timeout: float = 60.0
) -> None:
    """Copy a file into a guest with SSH; ``timeout`` is in seconds of the host."""
    with guest.ssh() as ssh:
        ssh.upload(local, remote, Deadline.after(timeout, f"copying {local}"), mode=mode)


def copy_from_guest(guest: Guest, remote: str, local: Path, *, timeout: float = 60.0) -> None:
    """Copy a file out of a guest with SSH; the local one appears only when it is complete."""
    with guest.ssh() as ssh:
        ssh.download(remote, local, Deadline.after(timeout, f"copying {remote}"))


def guest_command(kernel: KernelArtifact, image: ImageArtifact, machine: Machine) -> str:
    """A line of shell that boots such a guest from cold, without the driver.

    Its console is the terminal. It has no SSH server: that needs keys, which belong to one guest.
    """
    alone = dataclasses.replace(machine, ssh=False)
    files = Files(
        kernel_file(alone, kernel), image.initramfs, Path("console.log"), system=image.system
    )
    return standalone_command(alone, files)


def with_arguments(
    machine: Machine, kernel_args: Sequence[str], qemu_args: Sequence[str]
) -> Machine:
    """The machine with more words on the kernel's and QEMU's command lines.

    Raises :class:`UserError` for words that would make its results mean something else.
    """
    return dataclasses.replace(
        machine,
        kernel_args=(*machine.kernel_args, *kernel_args),
        qemu_args=(*machine.qemu_args, *qemu_args),
    )


@contextmanager
def _source_lines(kernel: KernelArtifact) -> Iterator[None]:
    """Add source lines to the stack trace of a kernel that complains."""
    try:
        yield
    except GuestSplat as error:
        if error.excerpt:
            series = kernel.provenance.get("series")
            name = str(series["name"]) if isinstance(series, dict) else "none"
            found = decode_from(error.excerpt, kernel.vmlinux.parent, name)
            error.excerpt = with_note(found)
        raise


def _provision(guest: Guest, job: Job) -> None:
    prepared = guest.run(job, Deadline.after(job.timeout, "preparing the NVDIMM"))
    if prepared.status != 0:
        raise WorkloadFailed(
            f"cannot prepare the NVDIMM: `{shlex.join(job.argv)}` "
            f"{describe_status(prepared.status)}",
            hint="See what it printed: the kernel may lack DAX, or the NVDIMM space.",
            excerpt=last_lines(prepared.output, _EXCERPT_LINES),
        )
