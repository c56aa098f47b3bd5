# SPDX-License-Identifier: Apache-2.0
"""A running guest: start it, wait until its agent answers, give it jobs, end it.

Whatever goes wrong is told apart here: a kernel that complains (:class:`GuestSplat`), a guest
that never gets ready or does not finish (:class:`GuestTimeout`), a QEMU that dies or a channel
that closes (:class:`GuestLost`). A complaint of the kernel outranks the others, because it is
usually their cause, and counts even when the job succeeded.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestError, GuestLost, GuestSplat, GuestTimeout, HostError, UserError
from driver.guest.agent import AgentChannel, encode
from driver.guest.console import Console, ConsoleLog
from driver.guest.emulator import Emulator, Exit, describe
from driver.guest.job import Job, JobResult
from driver.guest.keys import Keys, Login
from driver.guest.machine import Machine
from driver.guest.qemu import Files, argv
from driver.guest.qmp import Monitor
from driver.guest.ssh import Ssh
from driver.guest.storage import with_keys
from driver.guest.wires import Wires

# Seconds a guest gets to boot, many times what it needs on an idle host (2 to 3 s under TCG), for
# hosts that are busy. :mod:`driver.guest.accel` scales it to what it measured.
BOOT_SECONDS = 120.0

# Once a splat began, its last line is awaited for so long before the guest is given up.
_SPLAT_SECONDS = 1.0
# How long a closed channel waits for its reason to show: a panic's last line, QEMU's exit status.
_REASON_SECONDS = 2.0

NO_KINDS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Setup:
    """How to start a guest: its ``files``, and what differs from guest to guest.

    ``tolerate`` names kinds of splats (:mod:`driver.guest.splats`) that are expected and do not
    end the job. ``job`` is what an exact guest will do. ``console`` attaches a live console that
    the caller must read; ``gdb`` is where to wait for a debugger.
    """

    machine: Machine
    files: Files
    login: Login | None = None
    job: Job | None = None
    console: bool = False
    gdb: Path | None = None
    tolerate: frozenset[str] = NO_KINDS


class Guest:
    """A guest and the QEMU it runs in. A context manager; leaving it ends QEMU.

    Made by :func:`boot` or by a template, not directly.
    """

    def __init__(self, setup: Setup, *, incoming: bool = False) -> None:
        self.machine = setup.machine
        self.release = ""
        self._setup = setup
        self._undo = contextlib.ExitStack()
        job = encode(setup.job) if setup.job is not None else None
        self._wires = Wires(setup.machine, console=setup.console, job=job, gdb=setup.gdb)
        self._undo.callback(self._wires.close)
        try:
            self.console = ConsoleLog(setup.files.console_log)
            self.live_console = Console(self._wires.console) if self._wires.console else None
            self._monitor = Monitor(self._wires.monitor)
            self._undo.callback(self._monitor.close)
            self._channel = self._undo.enter_context(AgentChannel(self._wires.agent))
            self._stopped = incoming
            self._qemu = Emulator(
                argv(setup.machine, setup.files, self._wires.ports, incoming=incoming),
                self._wires.inherit,
            )
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

    def wait_ready(self, deadline: Deadline) -> str:
        """Wait for the agent of a booting guest; returns ``uname -r``."""
        with self._explaining("while booting"):
            self.release = self._channel.wait_ready(deadline, watch=self._watch)
        return self.release

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        """Have the agent do a job; raises :class:`GuestError` of the class that fits.

        An exact guest does only the job it was started with, and only once.
        """
        with self._explaining(f"during `{' '.join(job.argv)}`"):
            if self.machine.exact:
                self._ring(job, deadline)
            result = self._channel.run(job, deadline, watch=self._watch)
        self.check()
        return result

    def check(self) -> None:
        """Raise :class:`GuestSplat` if the kernel has complained."""
        self.console.poll()
        self._raise_splat()

    def ssh(self, deadline: Deadline | None = None) -> Ssh:
        """Connect to the guest's SSH server; close it when done."""
        if self._setup.login is None:
            raise UserError("this guest has no SSH server", hint="Start it with ssh=True.")
        deadline = deadline or Deadline.after(BOOT_SECONDS, "the SSH server of the guest")
        return Ssh(self.ssh_port(), self._setup.login, deadline)

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
        self._stopped = True

    def resume(self) -> None:
        """Let a paused guest go on."""
        self._stopped = False
        self._monitor.execute("cont", deadline=Deadline.after(30, "resuming the guest"))

    def save_state(self, path: Path, deadline: Deadline) -> None:
        """Write the state of a paused guest, all but the memory that files hold, to ``path``."""
        self._ignore_shared_memory(deadline)
        self._monitor.execute("migrate", {"uri": _to(path)}, deadline=deadline)
        while True:
            answer = self._monitor.execute("query-migrate", deadline=deadline)
            if answer.get("status") == "completed":
                return
            if answer.get("status") == "failed":
                raise HostError(f"QEMU could not save its state: {answer.get('error-desc')}")
            deadline.check()
            time.sleep(0.005)

    def load_state(self, path: Path, deadline: Deadline) -> None:
        """Take over the state of a template and stay paused. The guest was started incoming."""
        with self._explaining("while restoring the template"):
            self._ignore_shared_memory(deadline)
            # QEMU would announce the guest to the network from timers that run on the host's
            # clock, and each of them cuts short the turn of a processor of an exact guest.
            self._monitor.execute(
                "migrate-set-parameters", {"announce-rounds": 0}, deadline=deadline
            )
            self._monitor.execute("migrate-incoming", {"uri": _from(path)}, deadline=deadline)
            self._monitor.wait_status(frozenset({"paused", "prelaunch"}), deadline=deadline)

    def save_memory(self, what: str, path: Path) -> None:
        """Copy the present content of a memory backend (``ram``, ``pmem``) to a file.

        A fork's writes are private to its process, so this is the only way to see them.
        """
        for device in self._monitor.execute(
            "query-memory-devices", deadline=Deadline.after(10, "asking for the NVDIMM")
        ):
            data = device["data"]
            if data["memdev"].endswith(f"/{what}"):
                self._monitor.execute(
                    "pmemsave",
                    {"val": data["addr"], "size": data["size"], "filename": str(path)},
                    deadline=Deadline.after(120, "copying the NVDIMM"),
                )
                return
        raise UserError(f"the guest has no memory device `{what}`")

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
        if job is not self._setup.job:
            raise UserError(
                "an exact guest does the job it was started with, once",
                hint="Fork another guest from the template for another job.",
            )
        if not self._stopped:
            self.pause()
        self._wires.ring(deadline)
        self.resume()

    def _ignore_shared_memory(self, deadline: Deadline) -> None:
        # Memory that files hold is not copied into the state. Not settable on the command line
        # of QEMU 7.2; the prefix says "experimental", hence the cold boot to fall back to.
        wanted = [{"capability": "x-ignore-shared", "state": True}]
        self._monitor.execute(
            "migrate-set-capabilities", {"capabilities": wanted}, deadline=deadline
        )

    def _watch(self) -> None:
        if self.console.poll():
            self._raise_splat()
        if not self._qemu.running:
            raise GuestLost("QEMU ended")

    def _intolerable(self) -> bool:
        return any(splat.kind not in self._setup.tolerate for splat in self.console.splats)

    def _raise_splat(self) -> None:
        """Raise the first complaint that is not tolerated, once all of it is there."""
        if not self._intolerable():
            return
        until = time.monotonic() + _SPLAT_SECONDS
        while self.console.collecting and self._qemu.running and time.monotonic() < until:
            time.sleep(0.02)
            self.console.poll()
        splats = [one for one in self.console.splats if one.kind not in self._setup.tolerate]
        first = splats[0]
        others = f" (and {len(splats) - 1} more)" if len(splats) > 1 else ""
        raise GuestSplat(
            f"the guest's kernel reported {first.kind}: {first.message}{others}",
            kind=first.kind,
            excerpt=first.text(),
            log=self.console.path,
        )

    @contextlib.contextmanager
    def _explaining(self, when: str) -> Iterator[None]:
        """Turn the symptom of a failure into its cause, as far as it can be known."""
        try:
            yield
        except GuestSplat:
            raise
        except GuestLost as error:
            self._explain_loss(error, when)
        except GuestTimeout as error:
            self.check()
            raise GuestTimeout(
                f"{error.message} ({when})",
                hint=error.hint,
                excerpt=self.console.tail() or None,
                log=self.console.path,
            ) from error
        except GuestError:
            self.check()
            raise

    def _explain_loss(self, error: GuestLost, when: str) -> NoReturn:
        until = time.monotonic() + _REASON_SECONDS
        while self._qemu.running and not self._intolerable() and time.monotonic() < until:
            time.sleep(0.02)
            self.console.poll()
        if not self._qemu.running:
            self.console.finish()
        self.check()
        status = self._qemu.status
        if status is None:
            raise GuestLost(
                f"{error.message} ({when})",
                hint=error.hint,
                excerpt=self.console.tail() or None,
                log=self.console.path,
            ) from error
        words = self._qemu.messages().strip()
        raise GuestLost(
            f"QEMU {describe(status)} {when}",
            hint=None if words or status else "The guest has powered itself off.",
            excerpt=words or self.console.tail() or None,
            log=self.console.path,
        ) from error


def boot(
    machine: Machine,
    kernel: KernelArtifact,
    image: ImageArtifact,
    directory: Path,
    *,
    deadline: Deadline | None = None,
    job: Job | None = None,
    console: bool = False,
    gdb: Path | None = None,
    tolerate: frozenset[str] = NO_KINDS,
) -> Guest:
    """Boot a guest from cold and wait for its agent.

    ``directory`` receives ``console.log`` and, for a guest with SSH, its initramfs with keys. The
    NVDIMM is new and goes with the guest. ``job`` and the rest as in :class:`Setup`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = Keys.generate() if machine.ssh else None
    setup = Setup(
        machine=machine,
        files=Files(
            kernel=kernel.vmlinux,
            initramfs=with_keys(image.initramfs, keys, directory),
            console_log=directory / "console.log",
        ),
        login=Login(keys.login, keys.host_key) if keys else None,
        job=job,
        console=console,
        gdb=gdb,
        tolerate=tolerate,
    )
    return start(setup, deadline or Deadline.after(BOOT_SECONDS, "booting the guest"))


def start(setup: Setup, deadline: Deadline) -> Guest:
    """Start a guest from cold and wait for its agent; on failure nothing is left."""
    return ready(Guest(setup), lambda guest: guest.wait_ready(deadline))


def ready(guest: Guest, prepare: Callable[[Guest], object]) -> Guest:
    """The guest after ``prepare``; if that fails the guest is ended first."""
    try:
        prepare(guest)
    except BaseException:
        guest.close()
        raise
    return guest


def _to(path: Path) -> str:
    return f"exec:cat > {_quoted(path)}"


def _from(path: Path) -> str:
    return f"exec:cat {_quoted(path)}"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
