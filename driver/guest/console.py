# SPDX-License-Identifier: Apache-2.0
"""The serial console: the log that QEMU keeps of it, and a person's or a test's hands on it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import threading
from pathlib import Path

import pexpect
from pexpect import fdpexpect

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout
from driver.guest.splat_classifier import Classifier, Splat
from driver.text import last_lines

_TAIL_LINES = 25
# The most an ordinary user may ask of a pipe (/proc/sys/fs/pipe-max-size); a boot prints 20 kB.
_PIPE_BYTES = 1 << 20


class ConsoleLog:
    """A guest's console log, classified as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._classifier = Classifier()
        self._read = 0

    @property
    def splats(self) -> list[Splat]:
        """What the kernel has complained about so far, in order."""
        return self._classifier.splats

    @property
    def collecting(self) -> bool:
        """Whether the latest splat is still being printed."""
        return self._classifier.collecting

    def poll(self) -> bool:
        """Look at what has been printed since the last call; whether there was anything."""
        try:
            with self.path.open("rb") as log:
                log.seek(self._read)
                new = log.read()
        except FileNotFoundError:  # QEMU has not got that far
            return False
        self._read += len(new)
        self._classifier.feed(new.decode("utf-8", "replace"))
        return bool(new)

    def finish(self) -> None:
        """The guest is gone: judge the rest, complete or not."""
        self.poll()
        self._classifier.finish()

    def text(self) -> str:
        """Everything printed so far, with Unix line ends."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return ""
        return raw.decode("utf-8", "replace").replace("\r", "")

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines, for a message."""
        return last_lines(self.text(), lines)


class Console:
    """The live serial console of a guest started with one: waits for text, types lines.

    QEMU makes the guest wait when nobody reads its console, and a guest prints before there is
    anybody to read: a thread moves what it prints into a pipe that holds a whole boot. The log on
    disk is complete in any case. It owns the socket.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._printed, printing = os.pipe()
        fcntl.fcntl(printing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        threading.Thread(target=_pump, args=(sock, printing), daemon=True).start()
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
        try:
            self._spawn.expect(pattern, timeout=deadline.remaining())
        except pexpect.TIMEOUT as error:
            raise GuestTimeout(
                f"the console did not show /{pattern}/ within {deadline.seconds:.0f} s",
                excerpt=str(self._spawn.before)[-1000:],
            ) from error
        except pexpect.EOF as error:
            raise GuestLost(f"the console closed while waiting for /{pattern}/") from error
        return str(self._spawn.before) + str(self._spawn.after)

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
