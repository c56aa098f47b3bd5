# SPDX-License-Identifier: Apache-2.0
"""The channels between the driver and one QEMU: unnamed sockets and memory files.

A name in the file system would have to fit 107 bytes, would be open to others, might collide, and
would stay behind when the driver is killed. Descriptors do none of that.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
import threading
import time
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import UserError
from driver.guest.machine import Machine
from driver.guest.qemu_args import JOB_BYTES, Ports

# sun_path of unix(7), less its final NUL.
_LONGEST_ADDRESS = 107

# Where directories for sockets are made, with random names and mode 0700. Not TMPDIR, which may be
# longer than an address.
SOCKET_FOLDER = "/tmp"

# Seconds between two looks at the output of a deterministic guest.
_LOOK_EVERY = 0.002


class Channels:
    """The two ends of everything: ``ports`` and ``inherit`` for QEMU, the rest for us.

    A deterministic machine with a ``job`` does it: a fork when it is triggered, a template in
    the making as soon as it has booted. Without, it takes jobs from its agent's channel like any
    other guest, and repeats nothing.
    """

    def __init__(
        self,
        machine: Machine,
        *,
        console: bool = False,
        job: bytes | None = None,
        gdb: Path | None = None,
    ) -> None:
        if gdb is not None and len(os.fsencode(gdb)) > _LONGEST_ADDRESS:
            raise UserError(
                f"the path of the debugger's socket is longer than {_LONGEST_ADDRESS} bytes: {gdb}",
                hint="Put the socket into a directory with a shorter path, such as one below /tmp.",
            )
        self._undo = contextlib.ExitStack()
        self._theirs = contextlib.ExitStack()
        self.inherit: list[int] = []
        self.start_trigger: socket.socket | None = None
        self.console: socket.socket | None = None
        try:
            self.monitor, monitor = self._pair()
            agent = output = trigger_port = job_port = console_port = None
            if console:
                self.console, console_port = self._pair()
            if machine.deterministic:
                self.start_trigger, trigger_port = self._pair()
                job_port = self._memory_file((job or b"").ljust(JOB_BYTES, b"\0"))
            if machine.deterministic and job is not None:
                output = self._memory_file(b"")
                self.agent = self._undo.enter_context(_Follower(output)).socket
            else:
                self.agent, agent = self._pair()
            self.ports = Ports(monitor, agent, output, console_port, job_port, trigger_port, gdb)
        except BaseException:
            self.close()
            raise

    def close_theirs(self) -> None:
        """QEMU has inherited its ends; close ours of them, so that its death shows as EOF."""
        self._theirs.close()

    def close(self) -> None:
        """Close everything; idempotent."""
        self._theirs.close()
        self._undo.close()

    def trigger_start(self, deadline: Deadline) -> None:
        """Send the byte that starts the job of a *stopped* guest and wait until its UART has it."""
        assert self.start_trigger is not None
        self.start_trigger.send(b"g")
        while _unread(self.start_trigger):
            deadline.check()
            time.sleep(0.001)

    def _pair(self) -> tuple[socket.socket, int]:
        ours, theirs = socket.socketpair()
        self._undo.callback(ours.close)
        self._theirs.callback(theirs.close)
        self.inherit.append(theirs.fileno())
        return ours, theirs.fileno()

    def _memory_file(self, content: bytes) -> int:
        descriptor = os.memfd_create("driver", os.MFD_CLOEXEC)
        self._undo.callback(os.close, descriptor)
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.inherit.append(descriptor)
        return descriptor


class _Follower:
    """Copies a growing file into a socket, so that its reader can wait as for any other."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        self.socket, self._sink = socket.socketpair()
        self._sink.settimeout(None)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)

    def __enter__(self) -> _Follower:
        self._thread.start()
        return self

    def __exit__(self, *_details: object) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_RDWR)  # wakes a blocked sendall
        self._thread.join()
        self.socket.close()
        self._sink.close()
        os.close(self._descriptor)

    def _follow(self) -> None:
        offset = 0
        while True:
            stopping = self._stop.is_set()
            data = os.pread(self._descriptor, 1 << 18, offset)
            offset += len(data)
            try:
                if data:
                    self._sink.sendall(data)
                # A job is also sent over this socket, for guests that read it from there.
                self._sink.recv(1 << 18, socket.MSG_DONTWAIT)
            except BlockingIOError:
                pass
            except OSError:
                return
            if not data and self._stop.wait(_LOOK_EVERY) and stopping:
                return


def _unread(sock: socket.socket) -> int:
    """Bytes written to a Unix socket that its peer has not read yet (SIOCOUTQ of unix(7))."""
    return int(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
