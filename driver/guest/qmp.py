# SPDX-License-Identifier: Apache-2.0
"""QEMU's monitor (QMP), synchronously and with deadlines.

The event loop of qemu.qmp has a thread of its own: the caller may run in a loop already, as every
cell of a notebook does, and a thread has one running loop at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Mapping
from typing import Any

from qemu.qmp import ExecuteError, QMPClient, QMPError

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, HostError

_log = logging.getLogger(__name__)


class Monitor:
    """A connection to the monitor over an inherited socket; it owns the socket.

    Not for use from several threads at a time. Greeting and negotiation happen at the first
    command, so that making one costs nothing.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client = QMPClient("driver")

    def execute(
        self, command: str, arguments: Mapping[str, object] | None = None, *, deadline: Deadline
    ) -> Any:
        """Execute a QMP command and return its ``return`` value, whose shape QEMU documents.

        Raises :class:`HostError` when QEMU refuses it, :class:`GuestLost` when QEMU is gone,
        :class:`GuestTimeout` when it does not answer by the deadline.
        """
        _log.debug("-> %s %s", command, dict(arguments or {}))
        try:
            answer = self._wait(self._execute(command, arguments), deadline.remaining())
        except ExecuteError as error:
            raise HostError(f"QEMU refused `{command}`: {error}") from error
        except TimeoutError as error:
            raise GuestTimeout(
                f"QEMU did not answer `{command}` within {deadline.seconds:.0f} s"
            ) from error
        except (QMPError, OSError, EOFError, AssertionError) as error:
            # AssertionError: qemu.qmp 0.0.6 asserts that QEMU has survived the negotiation.
            raise GuestLost(f"QEMU ended before it answered `{command}`") from error
        _log.debug("<- %s: %s", command, answer)
        return answer

    def wait_event(self, name: str, seconds: float) -> bool:
        """Whether the next event is of this name and arrives within ``seconds``.

        QEMU is not spoken to, so that its guest is not disturbed, and not asked whether it lives.
        """
        try:
            return bool(self._wait(self._event(), seconds) == name)
        except TimeoutError:
            return False

    def human(self, line: str, *, deadline: Deadline) -> str:
        """Execute a command of the human monitor and return what it prints."""
        return str(self.execute("human-monitor-command", {"command-line": line}, deadline=deadline))

    def ask_to_quit(self) -> None:
        """Send ``quit``; whether QEMU obeys shows in its process. Never raises, never waits."""
        with contextlib.suppress(OSError):
            if self._loop is None:
                self._socket.setblocking(False)
                request = b'{"execute":"qmp_capabilities"}{"execute":"quit"}'
                self._socket.send(request)
            else:
                with contextlib.suppress(QMPError, TimeoutError, EOFError):
                    self._wait(self._client.execute("quit"), 1.0)

    def close(self) -> None:
        """Close the connection and the socket; idempotent."""
        if self._loop is not None:
            with contextlib.suppress(QMPError, OSError, EOFError, TimeoutError):
                self._wait(self._client.disconnect(), 1.0)
            self._loop.call_soon_threadsafe(self._loop.stop)
            assert self._thread is not None
            self._thread.join()
            self._loop.close()
            self._loop = self._thread = None
        self._socket.close()

    async def _execute(self, command: str, arguments: Mapping[str, object] | None) -> object:
        if not self._client.runstate.value:  # IDLE: not connected yet
            await self._client.connect(self._socket)
        return await self._client.execute(command, arguments)

    async def _event(self) -> str:
        return str((await self._client.events.get())["event"])

    def _wait(self, work: Any, seconds: float) -> Any:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="qmp", daemon=True)
            self._thread.start()
        future = asyncio.run_coroutine_threadsafe(asyncio.wait_for(work, seconds), self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise
