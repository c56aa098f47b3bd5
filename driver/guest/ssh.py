# SPDX-License-Identifier: Apache-2.0
"""SSH into a guest on 127.0.0.1: commands with their exit status, files up and down."""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import select
import shlex
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import paramiko

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, WorkloadFailed
from driver.guest import terminal
from driver.guest.ssh_keys import Login
from driver.text import reason

_log = logging.getLogger(__name__)

HOST = "127.0.0.1"

_CHUNK = 1 << 16

# Seconds that the server gets to say who it is, twice as many with each connection. QEMU accepts a
# connection whether or not the guest's network is up; if it is not, QEMU tries again only after
# 6 s, so that it is quicker to open another connection.
_FIRST_PATIENCE = 0.5


@dataclass(frozen=True)
class RemoteResult:
    """A command that ran in the guest. SSH has no status for a signal: a command that was killed
    has 128 plus the signal's number, as its shell reports it.
    """

    status: int
    stdout: str
    stderr: str


class Ssh:
    """A connection. The guest must present exactly the host key its template was given.

    Retries while the server starts; raises :class:`GuestTimeout` at the deadline. ``check_alive``
    is called before every try, to raise when there is no more reason to wait (a dead QEMU).
    """

    def __init__(
        self,
        port: int,
        login: Login,
        deadline: Deadline,
        *,
        check_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self.port = port
        host_key = paramiko.Ed25519Key(data=base64.b64decode(login.host_key))
        user_key = paramiko.Ed25519Key.from_private_key(login.key_file())
        patience = _FIRST_PATIENCE
        while True:
            check_alive()
            try:
                self._transport = _connect(
                    port, login.user, user_key, host_key, deadline, patience=patience
                )
            except (OSError, EOFError, paramiko.SSHException) as error:
                if deadline.expired:
                    raise GuestTimeout(
                        f"the guest's SSH server did not answer within {deadline.seconds:.0f} s"
                        f" ({reason(error)})",
                        hint="The console log shows whether it started.",
                    ) from error
                _log.debug("port %d does not answer yet: %s", port, error)
                patience *= 2
                time.sleep(0.1)
            else:
                return

    def __enter__(self) -> Ssh:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    def run(
        self, command: str | Sequence[str], deadline: Deadline, *, stdin: bytes = b""
    ) -> RemoteResult:
        """Run a command line (or a list of words, quoted here) and return all it left behind."""
        line = command if isinstance(command, str) else shlex.join(command)
        _log.info("in the guest, by SSH: %s", line)
        collected = _Collected()
        status = self._exchange(line, deadline, stdin, collected)
        return RemoteResult(
            status,
            bytes(collected.stdout).decode("utf-8", "replace"),
            bytes(collected.stderr).decode("utf-8", "replace"),
        )

    def shell(self) -> int:
        """Join the terminal to a login shell in the guest; returns the shell's exit status."""
        channel = self._transport.open_session()
        with contextlib.closing(channel):
            channel.get_pty(os.environ.get("TERM", "vt100"))
            channel.invoke_shell()
            terminal.join(
                channel, on_resize=lambda size: channel.resize_pty(size.columns, size.lines)
            )
            return channel.recv_exit_status()

    def upload(self, local: Path, remote: str, deadline: Deadline, *, mode: int = 0o644) -> None:
        """Copy a file into the guest. Through `cat`: small SSH servers have no SFTP."""
        line = f"cat > {shlex.quote(remote)} && chmod {mode:o} {shlex.quote(remote)}"
        done = self.run(line, deadline, stdin=local.read_bytes())
        if done.status:
            raise WorkloadFailed(f"cannot write {remote} in the guest: {done.stderr.strip()}")

    def download(self, remote: str, local: Path, deadline: Deadline) -> None:
        """Copy a file out of the guest; the local one appears only when it is complete."""
        partial = local.with_name(f".{local.name}.partial")
        try:
            with partial.open("wb") as sink:
                collected = _Collected(sink)
                status = self._exchange(f"cat {shlex.quote(remote)}", deadline, b"", collected)
            if status:
                words = bytes(collected.stderr).decode("utf-8", "replace").strip()
                raise WorkloadFailed(f"cannot read {remote} in the guest: {words}")
            partial.replace(local)
        finally:
            partial.unlink(missing_ok=True)

    def _exchange(self, line: str, deadline: Deadline, stdin: bytes, collected: _Collected) -> int:
        try:
            channel = self._transport.open_session(timeout=max(0.1, deadline.remaining()))
            with contextlib.closing(channel):
                channel.exec_command(line)
                _pump(channel, memoryview(stdin), collected, deadline)
                status = channel.recv_exit_status()
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise GuestLost(f"the SSH connection broke during `{line}`: {reason(error)}") from error
        if status < 0:
            raise GuestLost(f"the SSH connection ended before `{line}` did")
        return status


class _Collected:
    """Where a command's output goes: ``sink`` for a file's bytes, else memory."""

    def __init__(self, sink: BinaryIO | None = None) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self._sink = sink

    def out(self, data: bytes) -> None:
        if self._sink is None:
            self.stdout += data
        else:
            self._sink.write(data)


def _pump(
    channel: paramiko.Channel, stdin: memoryview, collected: _Collected, deadline: Deadline
) -> None:
    """Move bytes both ways at once, so that neither side waits for the other for ever."""
    channel.setblocking(0)
    closed = False
    while True:
        idle = True
        if not stdin and not closed:
            channel.shutdown_write()
            closed = True
        elif stdin and channel.send_ready():
            stdin = _send(channel, stdin)
            idle = False
        if channel.recv_ready():
            collected.out(channel.recv(_CHUNK))
            idle = False
        if channel.recv_stderr_ready():
            collected.stderr += channel.recv_stderr(_CHUNK)
            idle = False
        if idle and channel.exit_status_ready() and channel.eof_received:
            return
        if idle and channel.closed:
            return
        deadline.check()
        if idle:
            select.select([channel], [], [], 0.02)
            if channel.eof_received:  # the channel stays readable from then on
                time.sleep(0.005)


def _send(channel: paramiko.Channel, data: memoryview) -> memoryview:
    """Send what fits and return the rest: nothing, if the command has ended and reads no more."""
    try:
        return data[channel.send(bytes(data[:_CHUNK])) :]
    except OSError:
        if not channel.closed:
            raise
        return data[:0]


def _connect(
    port: int,
    user: str,
    user_key: paramiko.PKey,
    host_key: paramiko.PKey,
    deadline: Deadline,
    *,
    patience: float,
) -> paramiko.Transport:
    seconds = max(0.1, deadline.remaining())
    transport = paramiko.Transport(socket.create_connection((HOST, port), timeout=seconds))
    transport.handshake_timeout = transport.auth_timeout = seconds
    transport.banner_timeout = min(patience, seconds)
    try:
        transport.start_client()
        _recognise(transport, host_key)
        transport.auth_publickey(user, user_key)
    except BaseException:
        transport.close()
        raise
    return transport


def _recognise(transport: paramiko.Transport, host_key: paramiko.PKey) -> None:
    """Not left to Transport.connect(), which tells another key by the words of its error only."""
    if transport.get_remote_server_key().asbytes() != host_key.asbytes():
        raise GuestLost("a server with another host key than the guest's answered")
