# SPDX-License-Identifier: Apache-2.0
"""A running guest: start it, wait until its agent answers, give it jobs, end it.

Why it failed, if it does, is :mod:`driver.guest.diagnosis`'s to say.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from driver.deadline import Deadline
from driver.errors import GuestError, GuestLost, GuestTimeout, HostError, UserError
from driver.guest import emulator, migration
from driver.guest.agent import AgentChannel
from driver.guest.channels import Channels
from driver.guest.config import GuestConfig
from driver.guest.console_log import ConsoleLog
from driver.guest.cow_digest import image_digest
from driver.guest.diagnosis import Diagnosis
from driver.guest.job import Job, JobResult, encode
from driver.guest.qemu_args import argv
from driver.guest.qemu_process import Exit, QemuProcess
from driver.guest.qmp import Monitor
from driver.guest.splat_classifier import has_stamp
from driver.guest.ssh_keys import Login
from driver.guest.standalone import standalone_command
from driver.guest.standstill import BootWatch
from driver.store import Store

if TYPE_CHECKING:
    from driver.guest.console import Console
    from driver.guest.console_login import ConsoleSession
    from driver.guest.ssh import Ssh

_log = logging.getLogger(__name__)

# Seconds a guest gets to boot, many times what it needs on an idle host (2 to 3 s under TCG), for
# hosts that are busy. :mod:`driver.guest.accel` scales it to what it measured.
BOOT_SECONDS = 120.0

# More of the last message of a kernel is of no use on a progress line.
_PHASE_WIDTH = 60

# So many consoles of guests that failed outside of a run are kept, of each kind.
_KEPT_LOGS = 20

# Seconds between two looks at a guest that will stop itself.
_LOOK_EVERY = 0.1

# The kernel's last line (kernel/reboot.c), to its end: QEMU writes the log byte by byte, and all of
# it must be the same each time.
_HALTED = "reboot: System halted\n"


class Guest:
    """A guest and the QEMU it runs in. A context manager; leaving it ends QEMU.

    Made by :func:`boot` or by a template, not directly.
    """

    def __init__(
        self, config: GuestConfig, *, paused: bool = False, incoming: bool = False
    ) -> None:
        self.machine = config.machine
        self.release = ""
        self._config = config
        self._paused = paused
        self._undo = contextlib.ExitStack()
        job = encode(config.job) if config.job is not None else None
        self._channels = Channels(config.machine, console=config.console, job=job, gdb=config.gdb)
        self._undo.callback(self._channels.close)
        try:
            self.console = ConsoleLog(config.files.console_log)
            self.live_console = self._live_console()
            self._monitor = Monitor(self._channels.monitor)
            self._undo.callback(self._monitor.close)
            self._agent = self._undo.enter_context(AgentChannel(self._channels.agent))
            ports = self._channels.ports
            self._qemu = QemuProcess(
                emulator.command(
                    argv(
                        config.machine,
                        config.files,
                        ports,
                        paused=paused,
                        incoming=incoming,
                        plugins=config.plugins,
                    )
                ),
                self._channels.inherit,
            )
            self._diagnosis = Diagnosis(self._qemu, self.console, config.tolerate)
        except BaseException:
            self._undo.close()
            raise
        self._channels.close_theirs()

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
    def standalone_command(self) -> str:
        """A line of shell that boots the same machine without the driver."""
        return standalone_command(self.machine, self._config.files)

    @property
    def pid(self) -> int:
        """QEMU's process."""
        return self._qemu.pid

    def boot_console(self) -> str:
        """What the console had said before the guest was forked; nothing if it was booted."""
        return self._config.boot_console()

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
        path = self._config.files.nvdimm
        if path is None:
            raise UserError("the guest has no NVDIMM", hint="Start it with nvdimm_mib=1152.")
        return image_digest(self.pid, path, self.machine.nvdimm_mib << 20)

    def wait_ready(self, deadline: Deadline) -> str:
        """Wait for the agent of a booting guest; returns ``uname -r``.

        Raises :class:`GuestSplat` within seconds for a kernel that stands still.
        """
        boot = BootWatch(
            self._qemu,
            self._monitor,
            self.console,
            self._config.files.kernel,
            patient=self.machine.deterministic,
        )
        began = time.monotonic()

        def check_alive() -> None:
            self._diagnosis.check_alive()
            boot.look()
            if self._config.watch is not None:
                self._config.watch(_phase(self.console, time.monotonic() - began))

        with self._diagnosis.explaining("while booting"):
            if self._paused:
                self.resume()
            try:
                self.release = self._agent.wait_ready(deadline, check_alive=check_alive)
            except GuestTimeout as error:
                where = boot.whereabouts()
                error.message += f"; {where}" if where else ""
                raise
        self._demand_log()
        _log.info("the guest runs Linux %s; its agent is ready", self.release)
        return self.release

    def _demand_log(self) -> None:
        """Raise :class:`GuestError` for a guest whose kernel could complain without being heard."""
        self.console.poll()
        if not has_stamp(self.console.text()):
            raise GuestLost(
                "the guest has booted, and its console shows no message of its kernel with a time "
                "stamp: nobody would see what it complains of",
                hint="The kernel needs CONFIG_PRINTK_TIME, CONFIG_SERIAL_8250_CONSOLE and what "
                "they depend on, and no `quiet`, `loglevel=` or `printk.time=0` on its command "
                "line.",
                excerpt=self.console.tail() or None,
                log=self.console.path,
            )

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        """Have the agent do a job; raises :class:`GuestError` of the class that fits.

        A guest that was started with a job does that one, and then halts.
        """
        started_with = self._config.job
        with self._diagnosis.explaining(f"during `{job.argv[0] if job.argv else ''}`"):
            if started_with is not None:
                self._start_job(job, deadline)
            result = self._agent.run(job, deadline, check_alive=self._diagnosis.check_alive)
            if started_with is not None:
                self._wait_halted(deadline)
        self.check()
        _log.info("`%s` in the guest ended with status %d", shlex.join(job.argv), result.status)
        return result

    def run_first(self, job: Job, deadline: Deadline) -> JobResult:
        """Let a guest that is booting do the job it was started with, and stop itself.

        Nothing reaches the guest meanwhile, so that it stops at an instruction of its own choice.
        """
        with self._diagnosis.explaining(f"during `{job.argv[0]}`"):
            result = self._agent.run(job, deadline, check_alive=self._diagnosis.check_alive)
            while not self._monitor.wait_event("STOP", _LOOK_EVERY):
                self._diagnosis.check_alive()
                deadline.check()
        self.check()
        return result

    def check(self) -> None:
        """Raise :class:`GuestSplat` if the kernel has complained."""
        self._diagnosis.check()

    def log_in(
        self, user: str = "root", password: str | None = None, deadline: Deadline | None = None
    ) -> ConsoleSession:
        """A shell on the serial console of a guest that was started with a live one.

        For guests without our agent, and before they have a network; :class:`ConsoleSession` has
        the errors.
        """
        from driver.guest.console_login import ConsoleSession  # noqa: PLC0415  (pexpect)

        if self.live_console is None:
            raise UserError("this guest has no live console", hint="Start it with console=True.")
        deadline = deadline or Deadline.after(BOOT_SECONDS, "logging in on the console")
        return ConsoleSession.log_in(
            self.live_console, deadline, user=user, password=password, diagnosis=self._diagnosis
        )

    def ssh(self, deadline: Deadline | None = None, *, login: Login | None = None) -> Ssh:
        """Connect to the guest's SSH server; close it when done.

        ``login`` is for a guest that did not get its keys from the driver.
        """
        from driver.guest.ssh import Ssh  # noqa: PLC0415  (paramiko)

        login = login or self._config.login
        if login is None:
            raise UserError("this guest has no SSH server", hint="Start it with ssh=True.")
        deadline = deadline or Deadline.after(BOOT_SECONDS, "the SSH server of the guest")
        with self._diagnosis.explaining("while waiting for its SSH server"):
            return Ssh(self.ssh_port(), login, deadline, check_alive=self._diagnosis.check_alive)

    def ssh_port(self) -> int:
        """The port on 127.0.0.1 behind which the guest's SSH server is."""
        # Columns: protocol, descriptor, local address, local port, guest address, guest port.
        table = self.human("info usernet")
        match = re.search(r"HOST_FORWARD\]\s+\d+\s+\S+\s+(\d+)\s+\S+\s+22\b", table)
        if match is None:
            raise HostError("QEMU does not forward a port to the guest", excerpt=table)
        return int(match[1])

    def human(self, line: str) -> str:
        """A command of QEMU's human monitor (HMP)."""
        return self._monitor.human(line, deadline=Deadline.after(10, f"QEMU's `{line}`"))

    def pause(self) -> None:
        """Stop the guest's processors; devices and memory stay as they are."""
        self._monitor.execute("stop", deadline=Deadline.after(30, "stopping the guest"))

    def resume(self) -> None:
        """Let a paused guest run."""
        self._monitor.execute("cont", deadline=Deadline.after(30, "resuming the guest"))

    def save_state(self, path: Path, deadline: Deadline) -> None:
        """Write the state of a paused guest, all but the memory that files hold, to ``path``."""
        migration.save(self._monitor, path, deadline)

    def load_state(self, path: Path, deadline: Deadline) -> None:
        """Take over the state of a template and stay paused; for a guest started ``incoming``."""
        with self._diagnosis.explaining("while restoring the template"):
            migration.load(self._monitor, path, deadline)

    def save_nvdimm(self, path: Path, deadline: Deadline) -> None:
        """Copy the present content of the NVDIMM, without its labels, to a file.

        A guest's writes are private to its process, so this is the only way to see them.
        """
        migration.save_nvdimm(self._monitor, path, deadline)

    def dump_memory(self, path: Path, deadline: Deadline) -> None:
        """Write the memory of the guest to a file, compressed, as crash and drgn read it.

        The guest stays stopped. Raises :class:`HostError` if QEMU cannot write it, as on a full
        disk, and leaves no part of it then.
        """
        migration.dump(self._monitor, path, deadline)

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

    def _live_console(self) -> Console | None:
        if self._channels.console is None:
            return None
        from driver.guest.console import Console  # noqa: PLC0415  (pexpect)

        console = Console(self._channels.console)
        self._undo.callback(console.close)
        return console

    def _start_job(self, job: Job, deadline: Deadline) -> None:
        if job != self._config.job:
            raise UserError(
                "a deterministic fork does only the job that it was started with",
                hint="Fork the template again for another job.",
            )
        self._channels.trigger_start(deadline)
        self.resume()

    def _wait_halted(self, deadline: Deadline) -> None:
        """Wait for the last line of the console of a guest that halts after its job."""
        while _HALTED not in self.console.text():
            self._diagnosis.check_alive()
            deadline.check()
            time.sleep(0.005)


def _phase(console: ConsoleLog, seconds: float) -> str:
    """How far a booting guest is, for a person who waits."""
    last = console.tail(1).strip()
    return f"{seconds:.0f} s, {last[:_PHASE_WIDTH] or 'no message of the kernel yet'}"


@contextlib.contextmanager
def console_kept(store: Store, name: str) -> Iterator[None]:
    """Save the console log that a :class:`GuestError` names, and let the error name the copy.

    The copy is ``<name>-<time>.log`` among the store's logs, of which the newest are kept. Wrap
    this in what removes the directory, not the other way round.
    """
    try:
        yield
    except GuestError as error:
        if error.log is not None and error.log.exists():
            logs = store.scratch("logs")
            kept = (
                logs / f"{name}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.log"
            )
            # On a full disk the error itself still counts for more than its log.
            with contextlib.suppress(OSError):
                shutil.copyfile(error.log, kept)
                error.log = kept
                for old in sorted(logs.glob(f"{name}-*.log"))[:-_KEPT_LOGS]:
                    old.unlink(missing_ok=True)
        raise
