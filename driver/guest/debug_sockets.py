# SPDX-License-Identifier: Apache-2.0
"""Unix sockets of a guest that failed and is kept: its serial console and QEMU's gdbserver.

They are opened when they are needed, so that a guest that may be kept starts like any other, and
what it measures does not depend on that.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import DriverError, HostError
from driver.guest.channels import SOCKET_FOLDER
from driver.guest.job import Job, Write
from driver.guest.qemu_args import escape
from driver.guest.session import Guest

_log = logging.getLogger(__name__)

# A kernel that panics would reset, and QEMU would end with everything there is to see: make it
# stand still instead (0 is "wait for ever", Documentation/admin-guide/sysctl/kernel.rst).
HANG_ON_PANIC = Write("/proc/sys/kernel/panic", "0")

# A shell with job control needs a session whose terminal it is. The outer shell stays to wait:
# setsid by the leader of a process group, which a job is, forks and returns at once.
SERIAL_SHELL = "busybox setsid busybox cttyhack sh -l <>/dev/ttyS0 >&0 2>&0; exit $?"

# Long enough for any session; a job needs a limit.
ONE_WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True)
class DebugSockets:
    """Unix sockets: the serial console, and where QEMU waits for a debugger."""

    console: Path
    debugger: Path


@contextlib.contextmanager
def open_debug_sockets(guest: Guest) -> Iterator[DebugSockets]:
    """Open the sockets of a running guest; they are gone with the context.

    Raises :class:`HostError` or :class:`GuestError` if QEMU refuses or has ended.
    """
    with tempfile.TemporaryDirectory(prefix="driver-debug-", dir=SOCKET_FOLDER) as folder:
        found = DebugSockets(Path(folder) / "console", Path(folder) / "gdb")
        log = escape(guest.console.path)
        _ask(
            guest,
            f"chardev-change console socket,path={escape(found.console)},server=on,wait=off,"
            f"logfile={log},logappend=on",
        )
        _ask(guest, f"gdbserver unix:{escape(found.debugger)},server=on,wait=off")
        yield found


def offer_shell(guest: Guest) -> None:
    """Ask the guest's agent for a shell on the serial console, as soon as it has time for one.

    An agent whose job hangs never has; then nothing happens.
    """

    def serve() -> None:
        job = Job(argv=["sh", "-c", SERIAL_SHELL], timeout=ONE_WEEK)
        with contextlib.suppress(DriverError):
            guest.run(job, Deadline.after(ONE_WEEK, "the shell"))

    threading.Thread(target=serve, name="console-shell", daemon=True).start()


def _ask(guest: Guest, line: str) -> None:
    """A command of the human monitor that says nothing when it works."""
    _log.info("to QEMU's monitor: %s", line)
    answer = guest.human(line).strip()
    if answer and "Waiting for gdb connection" not in answer:
        raise HostError(f"QEMU refused `{line.split(maxsplit=1)[0]}`: {answer}")
