# SPDX-License-Identifier: Apache-2.0
"""Stopping in order on a signal.

On Ctrl-C guests are ended and temporary files removed. Other ways to stop the driver (``kill``, a
CI system, a terminal that closes) get the same: the exception is the same, and the exit status
shows which signal it was.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class StopSignal:
    """The signal that stopped the driver, if one did."""

    number: signal.Signals | None = None

    @property
    def exit_status(self) -> int:
        """128 and the signal's number, as a shell reports it."""
        return 128 + (self.number or signal.SIGINT)


@contextmanager
def raise_on_signals() -> Iterator[StopSignal]:
    """Let each of the signals raise KeyboardInterrupt in the main thread, where this is called.

    A signal that is ignored (``nohup``, a job in the background of a script) stays so.
    """
    received = StopSignal()

    def interrupt(number: int, _frame: FrameType | None) -> None:
        received.number = signal.Signals(number)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in heeded:
            signal.signal(number, interrupt)
        yield received
    finally:
        for number in heeded:
            signal.signal(number, before[number])
