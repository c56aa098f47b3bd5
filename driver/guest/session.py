# SPDX-License-Identifier: Apache-2.0
"""A running guest: start it, wait until its agent answers, give it jobs, end it.

How its failures are told apart is :mod:`driver.guest.watch`.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import EmulatorFault, HostError, UserError
from driver.guest import migration
from driver.guest.agent import AgentChannel, encode
from driver.guest.console import Console, ConsoleLog
from driver.guest.emulator import Emulator, Exit
from driver.guest.job import Job, JobResult
from driver.guest.keys import Keys, Login
from driver.guest.machine import Machine
from driver.guest.overlay import image_digest
from driver.guest.qemu import Files, argv
from driver.guest.qmp import Monitor
from driver.guest.setup import NO_KINDS, Setup
from driver.guest.ssh import Ssh
from driver.guest.storage import kernel_file, with_keys
from driver.guest.watch import Watch
from driver.guest.wires import Wires

# Seconds a guest gets to boot, many times what it needs on an idle host (2 to 3 s under TCG), for
# hosts that are busy. :mod:`driver.guest.accel` scales it to what it measured.
BOOT_SECONDS = 120.0

# Booting with four processors, QEMU 7.2 broke 2 guests of 60 on a busy host (see
# EmulatorFault), so that after this many in a row something else is wrong.
_BOOTS = 5

# Seconds between two looks at a guest that will stop itself.
_LOOK_EVERY = 0.1

# What the kernel says when its last process has asked for it (kernel/reboot.c). With the end of the
# line: QEMU writes the log byte by byte, and all of it has to be the same each time.
_HALTED = "reboot: System halted\n"


class Guest:
    """A guest and the QEMU it runs in. A context manager; leaving it ends QEMU.

    Made by :func:`boot` or by a template, not directly.
    """

    def __init__(self, setup: Setup, *, held: bool = False, incoming: bool = False) -> None:
        self.machine = setup.machine
        self.release = ""
        self._setup = setup
        self._held = held
        self._undo = contextlib.ExitStack()
        job = encode(setup.job) if setup.job is not None else None
        self._wires = Wires(setup.machine, console=setup.console, job=job, gdb=setup.gdb)
        self._undo.callback(self._wires.close)
        try:
            self.console = ConsoleLog(setup.files.console_log)
            self.live_console = Console(self._wires.console) if self._wires.console else None
            if self.live_console is not None:
                self._undo.callback(self.live_console.close)
            self._monitor = Monitor(self._wires.monitor)
            self._undo.callback(self._monitor.close)
            self._channel = self._undo.enter_context(AgentChannel(self._wires.agent))
            ports = self._wires.ports
            self._qemu = Emulator(
                argv(setup.machine, setup.files, ports, held=held, incoming=incoming),
                self._wires.inherit,
            )
            self._watch = Watch(self._qemu, self.console, setup.tolerate)
        except BaseException:
            self._undo.close()
            raise
        self._wires.close_theirs()

    def __enter__(self) -> Guest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def command(self) -> str:
        """The QEMU command line, quoted for a shell. Descriptor numbers in it were inherited."""
        return self._qemu.command

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._qemu.pid

    def console_text(self) -> str:
        """Everything the guest's console has said so far."""
        return self.console.text()

    def evidence(self) -> dict[str, str]:
        """Nothing: two guests that are given the same job differ in detail."""
        return {}

    def image_digest(self) -> str:
        """The digest of what the NVDIMM holds now, without its labels.

        Only of a fork that has halted: its NVDIMM is a file that it maps privately, and whatever
        it wrote since is in QEMU's memory.
        """
        path = self._setup.files.nvdimm
        if path is None:
            raise UserError("the guest has no NVDIMM")
        return image_digest(self.pid, path, self.machine.nvdimm_mib << 20)

    def wait_ready(self, deadline: Deadline) -> str:
        """Wait for the agent of a booting guest; returns ``uname -r``."""
        with self._watch.explaining("while booting"):
            if self._held:
                self.resume()
            self.release = self._channel.wait_ready(deadline, watch=self._watch.look)
        return self.release

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        """Have the agent do a job; raises :class:`GuestError` of the class that fits.

        A guest that was started with a job does that one, and then halts.
        """
        started_with = self._setup.job
        with self._watch.explaining(f"during `{job.argv[0] if job.argv else ''}`"):
            if started_with is not None:
                self._ring(job, deadline)
            result = self._channel.run(job, deadline, watch=self._watch.look)
            if started_with is not None:
                self._wait_halted(deadline)
        self.check()
        return result

    def run_first(self, job: Job, deadline: Deadline) -> JobResult:
        """Let a guest that is booting do the job it was started with, and stop itself.

        Nothing reaches the guest meanwhile, so that it stops at an instruction of its own choice.
        """
        with self._watch.explaining(f"during `{job.argv[0]}`"):
            result = self._channel.run(job, deadline, watch=self._watch.look)
            while not self._monitor.wait_event("STOP", _LOOK_EVERY):
                self._watch.look()
                deadline.check()
        self.check()
        return result

    def check(self) -> None:
        """Raise :class:`GuestSplat` if the kernel has complained."""
        self._watch.check()

    def ssh(self, deadline: Deadline | None = None) -> Ssh:
        """Connect to the guest's SSH server; close it when done."""
        if self._setup.login is None:
            raise UserError("this guest has no SSH server", hint="Start it with ssh=True.")
        deadline = deadline or Deadline.after(BOOT_SECONDS, "the SSH server of the guest")
        with self._watch.explaining("while waiting for its SSH server"):
            return Ssh(self.ssh_port(), self._setup.login, deadline, watch=self._watch.look)

    def ssh_port(self) -> int:
        """The port on 127.0.0.1 behind which the guest's SSH server is."""
        # Columns: protocol, descriptor, local address, local port, guest address, guest port.
        table = self.human("info usernet")
        match = re.search(r"HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+22\b", table)
        if match is None:
            raise HostError("QEMU does not forward a port to the guest", excerpt=table)
        return int(match[1])

    def human(self, line: str) -> str:
        """A command of QEMU's human monitor, for people and tests."""
        return self._monitor.human(line, deadline=Deadline.after(10, f"QEMU's `{line}`"))

    def pause(self) -> None:
        """Stop the guest's processors; devices and memory stay as they are."""
        self._monitor.execute("stop", deadline=Deadline.after(30, "stopping the guest"))

    def resume(self) -> None:
        """Let a paused guest go on."""
        self._monitor.execute("cont", deadline=Deadline.after(30, "resuming the guest"))

    def save_state(self, path: Path, deadline: Deadline) -> None:
        """Write the state of a paused guest, all but the memory that files hold, to ``path``."""
        migration.save(self._monitor, path, deadline)

    def load_state(self, path: Path, deadline: Deadline) -> None:
        """Take over the state of a template and stay paused. The guest was started incoming."""
        with self._watch.explaining("while restoring the template"):
            migration.load(self._monitor, path, deadline)

    def save_nvdimm(self, path: Path, deadline: Deadline) -> None:
        """Copy the present content of the NVDIMM, without its labels, to a file.

        A guest's writes are private to its process, so this is the only way to see them.
        """
        migration.save_nvdimm(self._monitor, path, deadline)

    def kill(self) -> None:
        """End QEMU at once, from any thread; a ``run`` in progress raises GuestLost."""
        self._qemu.kill()

    def close(self) -> Exit:
        """End QEMU (asked, then terminated, then killed) and release everything; idempotent."""
        try:
            ended = self._qemu.stop(self._monitor.ask_to_quit)
            self.console.finish()
        finally:
            self._undo.close()
        return ended

    def _ring(self, job: Job, deadline: Deadline) -> None:
        if job != self._setup.job:
            raise UserError("an exact fork does the job it was started with")
        self._wires.ring(deadline)
        self.resume()

    def _wait_halted(self, deadline: Deadline) -> None:
        """Wait for the last line of the console of a guest that halts after its job."""
        while _HALTED not in self.console.text():
            self._watch.look()
            deadline.check()
            time.sleep(0.005)


def boot(
    machine: Machine,
    kernel: KernelArtifact,
    image: ImageArtifact,
    directory: Path,
    *,
    deadline: Deadline | None = None,
    console: bool = False,
    gdb: Path | None = None,
    tolerate: frozenset[str] = NO_KINDS,
) -> Guest:
    """Boot a guest from cold and wait for its agent.

    ``directory`` receives ``console.log`` and, for a guest with SSH, its initramfs with keys. The
    NVDIMM is new and goes with the guest. The rest as in :class:`Setup`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = Keys.generate() if machine.ssh else None
    setup = Setup(
        machine=machine,
        files=Files(
            kernel=kernel_file(machine, kernel),
            initramfs=with_keys(image.initramfs, keys, directory),
            console_log=directory / "console.log",
        ),
        login=Login(keys.login, keys.host_key) if keys else None,
        console=console,
        gdb=gdb,
        tolerate=tolerate,
    )
    return start(setup, deadline or Deadline.after(BOOT_SECONDS, "booting the guest"))


def start(setup: Setup, deadline: Deadline) -> Guest:
    """Start a guest from cold and wait for its agent; on failure nothing is left.

    One with a job of its own is held until there is somebody who listens. One that the emulator
    broke is started again: nothing but booting has happened yet.
    """
    for _ in range(_BOOTS - 1):
        with contextlib.suppress(EmulatorFault):
            return _start(setup, deadline)
        setup.files.console_log.unlink(missing_ok=True)
    return _start(setup, deadline)


def _start(setup: Setup, deadline: Deadline) -> Guest:
    guest = Guest(setup, held=setup.job is not None)
    return ready(guest, lambda guest: guest.wait_ready(deadline))


def ready(guest: Guest, prepare: Callable[[Guest], object]) -> Guest:
    """The guest after ``prepare``; if that fails the guest is ended first."""
    try:
        prepare(guest)
    except BaseException:
        guest.close()
        raise
    return guest
