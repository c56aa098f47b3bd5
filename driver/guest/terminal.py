# SPDX-License-Identifier: Apache-2.0
"""A person's terminal joined to a guest's: keys go in as they are typed, the screen comes back."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Protocol

_CHUNK = 1 << 16
# Ctrl-]: leaves a serial console, which has no end of its own (as in telnet and `virsh console`).
ESCAPE = b"\x1d"


class Peer(Protocol):
    """The far end: a socket or an SSH channel."""

    def fileno(self) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def sendall(self, data: bytes, /) -> None: ...


def join(
    peer: Peer,
    *,
    escape: bytes | None = None,
    on_resize: Callable[[os.terminal_size], None] = lambda _size: None,
) -> None:
    """Relay between standard input and output and ``peer`` until either side ends.

    Standard input need not be a terminal: what a pipe holds is typed for you, and the relay lasts
    until the peer closes. ``escape``, if given, is the key that ends the relay.
    """
    stdin = sys.stdin.fileno()
    with _raw(stdin), _resizing(on_resize):
        sources: list[int] = [stdin, peer.fileno()]
        while True:
            readable, _, _ = select.select(sources, [], [])
            if peer.fileno() in readable:
                data = peer.recv(_CHUNK)
                if not data:
                    return
                os.write(sys.stdout.fileno(), data)
            if stdin in readable:
                typed = os.read(stdin, _CHUNK)
                if not typed:
                    sources.remove(stdin)
                elif escape is not None and escape in typed:
                    return
                else:
                    peer.sendall(typed)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """Hand every key over at once, Ctrl-C among them: it is meant for the guest."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _resizing(on_resize: Callable[[os.terminal_size], None]) -> Iterator[None]:
    if not sys.stdout.isatty():
        yield
        return
    before = signal.signal(
        signal.SIGWINCH, lambda _number, _frame: on_resize(os.get_terminal_size())
    )
    try:
        on_resize(os.get_terminal_size())
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)
