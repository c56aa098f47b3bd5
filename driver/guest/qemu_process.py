# SPDX-License-Identifier: Apache-2.0
"""One QEMU process, which never outlives the driver: how it is started and ended."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from driver.process import describe_status, missing_program, quote

_log = logging.getLogger(__name__)

# How the process ended: by itself, when asked over the monitor, by SIGTERM, by SIGKILL.
Ending = Literal["exited", "asked", "terminated", "killed"]

# Seconds to end after `quit`, and again after SIGTERM.
_GRACE = 3.0

# So much of QEMU's own messages is shown.
_STDERR_BYTES = 4096


class _Spawner:
    """Starts children from one thread that lives as long as this process.

    PR_SET_PDEATHSIG fires when the *thread* that forked the child ends, not the process (see
    prctl(2)); a guest started by a pool's worker would die with the worker.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None
        self._owner = 0

    def popen(
        self, argv: Sequence[str], stderr: int, inherit: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._pool is None or self._owner != os.getpid():  # a forked child has no threads
                self._pool = ThreadPoolExecutor(1, thread_name_prefix="qemu-spawner")
                self._owner = os.getpid()
            pool = self._pool
        return pool.submit(
            subprocess.Popen,
            # setpriv arranges the signal, the shell sees that we were still alive then, and
            # becomes QEMU. Python's preexec_fn could do it too, but it may deadlock in a program
            # with threads.
            ["setpriv", "--pdeathsig", "KILL", "--", *_unless_orphaned(), *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            pass_fds=tuple(inherit),
            # A session of its own: Ctrl-C at the terminal is for us, who then end it in order.
            start_new_session=True,
        ).result()


def _unless_orphaned() -> list[str]:
    """The words of a shell that becomes what follows if its parent is still this process."""
    return ["sh", "-c", f'[ "$PPID" = {os.getpid()} ] && exec "$@"', "sh"]


_spawner = _Spawner()


@dataclass(frozen=True)
class Exit:
    """How QEMU ended, and with which status (minus the number of a signal)."""

    ending: Ending
    status: int

    def __str__(self) -> str:
        return f"{self.ending}: {describe_status(self.status)}"


class QemuProcess:
    """A running QEMU. ``inherit`` are the descriptors its command line refers to.

    Raises :class:`HostError` when the program is not on ``path`` (default: PATH).
    """

    def __init__(
        self, argv: Sequence[str], inherit: Sequence[int], *, path: str | None = None
    ) -> None:
        if shutil.which(argv[0], path=path) is None:
            raise missing_program(argv[0])
        self.command = quote(list(argv))
        self._exit: Exit | None = None
        self._lock = threading.Lock()
        # Unnamed, so that it needs no cleaning up.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop())
        try:
            self._child = _spawner.popen(argv, self._stderr.fileno(), inherit)
        except FileNotFoundError as error:
            self._stderr.close()
            raise missing_program(str(error.filename)) from error
        except BaseException:
            self._stderr.close()
            raise
        self._began = time.monotonic()
        _log.info("started QEMU, process %d: %s", self.pid, self.command)

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def running(self) -> bool:
        return self._child.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status once it has ended; minus the signal's number if it was killed."""
        return self._child.poll()

    @property
    def stopped(self) -> bool:
        """Whether somebody has stopped it, as SIGSTOP does: no guest can."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False
        # The state is behind the name, which may hold anything.
        return stat.rpartition(")")[2].split()[0] in ("T", "t")

    def starved_share(self) -> float:
        """The share of its life, from 0 to 1, in which it was denied a processor."""
        return min(1.0, self.starved_seconds() / max(0.001, time.monotonic() - self._began))

    def starved_seconds(self) -> float:
        """How long it was denied a processor: the thread that waited longest for the host's
        scheduler.

        0 where the host's kernel does not count that (Documentation/scheduler/sched-stats.rst).
        """
        waited = 0.0
        for path in Path(f"/proc/{self.pid}/task").glob("*/schedstat"):
            with contextlib.suppress(OSError, IndexError, ValueError):  # a thread that ended
                waited = max(waited, int(path.read_text(encoding="ascii").split()[1]) / 1e9)
        return waited

    def messages(self) -> str:
        """The end of what QEMU wrote to stderr."""
        if self._stderr.closed:
            return self._last_words
        end = os.fstat(self._stderr.fileno()).st_size
        start = max(0, end - _STDERR_BYTES)
        return os.pread(self._stderr.fileno(), _STDERR_BYTES, start).decode("utf-8", "replace")

    _last_words = ""

    def kill(self) -> None:
        """End it at once; safe from any thread."""
        with contextlib.suppress(ProcessLookupError):
            self._child.kill()

    def wait(self, seconds: float) -> bool:
        """Whether it has ended within ``seconds``."""
        try:
            self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, ask: Callable[[], None], grace: float = _GRACE) -> Exit:
        """End it: ``ask`` (over the monitor), then SIGTERM, then SIGKILL. Idempotent.

        ``ask`` must return soon and may raise nothing. An exception that arrives meanwhile (a
        second Ctrl-C) kills QEMU before it propagates.
        """
        with self._lock:
            if self._exit is not None:
                return self._exit
            try:
                ending = self._end(ask, grace)
            except BaseException:
                self._child.kill()
                self._child.wait()
                raise
            finally:
                self._last_words = self.messages()
                self._stderr.close()
            self._exit = Exit(ending, self._child.returncode)
            _log.info("QEMU, process %d, ended: %s", self.pid, self._exit)
            return self._exit

    def _end(self, ask: Callable[[], None], grace: float) -> Ending:
        if not self.running:
            return "exited"
        ask()
        if self.wait(grace):
            return "asked"
        self._child.terminate()
        if self.wait(grace):
            return "terminated"
        self._child.kill()
        self._child.wait()
        return "killed"
