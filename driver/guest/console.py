# SPDX-License-Identifier: Apache-2.0
"""The live serial console of a guest: what it prints is waited for, and lines are typed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import pexpect
from pexpect import fdpexpect

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout

THREAD = "console"
# The most an ordinary user may ask of a pipe (/proc/sys/fs/pipe-max-size); a boot prints 20 kB.
_PIPE_BYTES = 1 << 20
# So many characters of what was printed instead are shown when something did not appear.
_EXCERPT = 1000


@dataclass(frozen=True)
class Seen:
    """A pattern that the console has shown: what came ``before`` it, and the match itself."""

    before: str
    match: re.Match[str]


class Console:
    """The live serial console of a guest started with one: waits for text, types lines.

    QEMU makes the guest wait when nobody reads its console, and a guest prints before anybody
    reads: a thread moves what it prints into a pipe that holds a whole boot. The log on disk is
    complete in any case. It owns the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._printed, printing = os.pipe()
        fcntl.fcntl(printing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        threading.Thread(target=_pump, args=(sock, printing), name=THREAD, daemon=True).start()
        self._spawn = fdpexpect.fdspawn(self._printed, encoding="utf-8", codec_errors="replace")

    def fileno(self) -> int:
        """Readable when the guest has printed something."""
        return self._printed

    def recv(self, size: int, /) -> bytes:
        """What the guest has printed, at most ``size`` bytes; nothing once QEMU is gone."""
        return os.read(self._printed, size)

    def sendall(self, data: bytes, /) -> None:
        """Type bytes as they are."""
        self._socket.sendall(data)

    def send_line(self, line: str) -> None:
        """Type a line and press Enter."""
        self.sendall(line.encode() + b"\r")

    def expect(self, pattern: str, deadline: Deadline) -> str:
        """Wait for a regular expression; returns what came before it and the match itself.

        Raises :class:`GuestTimeout` at the deadline and :class:`GuestLost` when QEMU goes away.
        """
        seen = self.look_for([re.compile(pattern)], deadline.remaining())
        if seen is None:
            raise GuestTimeout(
                f"the console did not show /{pattern}/ within {deadline.seconds:.0f} s",
                excerpt=self.unmatched(),
            )
        return seen.before + seen.match[0]

    def look_for(self, patterns: Sequence[re.Pattern[str]], seconds: float) -> Seen | None:
        """The earliest match of any of the patterns, waited for; None if ``seconds`` pass without.

        What comes up to the end of a match is not looked at again. Raises :class:`GuestLost` when
        QEMU goes away.
        """
        try:
            # -1 as a timeout means pexpect's default to it.
            self._spawn.expect_list(list(patterns), timeout=max(0.0, seconds))
        except pexpect.TIMEOUT:
            return None
        except pexpect.EOF as error:
            looked_for = "/ or /".join(pattern.pattern for pattern in patterns)
            raise GuestLost(f"the console closed while waiting for /{looked_for}/") from error
        match = self._spawn.match
        assert isinstance(match, re.Match)
        return Seen(self._spawn.before or "", match)

    def unmatched(self) -> str:
        """The end of what has been printed since the last match."""
        return (self._spawn.buffer or "")[-_EXCERPT:]

    def close(self) -> None:
        """Let go of the guest; the thread ends with the connection."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        os.close(self._printed)


def _pump(source: socket.socket, sink: int) -> None:
    """Move bytes until either end is closed."""
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            os.write(sink, data)
    os.close(sink)
