# SPDX-License-Identifier: Apache-2.0
"""Progress for a person, and nothing of it for a program.

Everything here goes to standard error; standard output is for results. A terminal gets a bar
that is redrawn; a pipe, a CI log or a dumb terminal gets plain lines, few of them; ``--json`` and
``--quiet`` get silence. Builders and runners take a :class:`Reporter` and never ask which.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

# Plain progress prints when this share of the work, or this time, has gone by since the last line.
_PLAIN_SHARE = 0.10
_PLAIN_SECONDS = 30.0


class Reporter(Protocol):
    """Where long work says how far it is. Safe to call from several threads."""

    def step(self, title: str) -> None:
        """A new piece of work begins; the one before it, if any, is over."""

    def progress(self, done: int, total: int | None, label: str = "") -> None:
        """The present step has done ``done`` of ``total`` units (None: nobody knows)."""

    def note(self, text: str) -> None:
        """Something worth a line of its own that is neither an error nor a result."""


class SilentReporter:
    """For programs that read standard output, and for tests."""

    def step(self, title: str) -> None:
        pass

    def progress(self, done: int, total: int | None, label: str = "") -> None:
        pass

    def note(self, text: str) -> None:
        pass


class PlainReporter:
    """Lines, no control characters: for pipes, log files and CI."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._lock = threading.Lock()
        self._title = ""
        self._shown = 0
        self._shown_at = 0.0
        self._finished = False

    def step(self, title: str) -> None:
        with self._lock:
            self._title, self._shown, self._shown_at = title, 0, time.monotonic()
            self._finished = False
            self._print(title)

    def progress(self, done: int, total: int | None, label: str = "") -> None:
        with self._lock:
            now = time.monotonic()
            big_step = total is not None and done - self._shown >= _PLAIN_SHARE * total
            finished = total is not None and done >= total and not self._finished
            if not (big_step or finished or now - self._shown_at >= _PLAIN_SECONDS):
                return
            self._shown, self._shown_at = done, now
            self._finished = self._finished or finished
            amount = f"{done}/{total}" if total is not None else f"{done}"
            self._print(f"{self._title}: {amount} {label}".rstrip())

    def note(self, text: str) -> None:
        with self._lock:
            self._print(f"note: {text}")

    def _print(self, line: str) -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


@contextmanager
def open_reporter(*, silent: bool = False, plain: bool = False) -> Iterator[Reporter]:
    """The reporter that suits standard error, for the length of one command.

    A ``plain`` one redraws nothing, for when something else is written there as well.
    """
    if silent:
        yield SilentReporter()
    elif plain or not _is_terminal():
        yield PlainReporter()
    else:
        # A tenth of a second that only a person at a terminal waits for.
        from driver.terminal_progress import terminal_reporter  # noqa: PLC0415

        with terminal_reporter() as reporter:
            yield reporter


def _is_terminal() -> bool:
    dumb = os.environ.get("TERM") == "dumb" or bool(os.environ.get("CI"))
    return sys.stderr.isatty() and not dumb
