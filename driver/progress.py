# SPDX-License-Identifier: Apache-2.0
"""Telling a person what is going on, without telling a program anything.

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
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

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


class TerminalReporter:
    """One redrawn bar at the foot of a terminal; finished steps and notes scroll up above it."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._lock = threading.Lock()
        self._task: TaskID | None = None
        self._title = ""
        self._began = 0.0

    def step(self, title: str) -> None:
        with self._lock:
            self._end_step()
            self._title, self._began = title, time.monotonic()
            self._task = self._bars.add_task(title, total=None, label="")

    def progress(self, done: int, total: int | None, label: str = "") -> None:
        with self._lock:
            if self._task is not None:
                self._bars.update(self._task, completed=done, total=total, label=label)

    def note(self, text: str) -> None:
        self._bars.console.print(f"note: {text}", markup=False, highlight=False, style="yellow")

    def close(self) -> None:
        """End the last step; one that was interrupted by an exception is not called done."""
        with self._lock:
            self._end_step(done=sys.exc_info()[0] is None)

    def _end_step(self, *, done: bool = True) -> None:
        if self._task is None:
            return
        self._bars.remove_task(self._task)
        self._task = None
        if done:
            seconds = time.monotonic() - self._began
            self._bars.console.print(
                f"{self._title} ({seconds:.1f} s)", markup=False, highlight=False, style="dim"
            )


@contextmanager
def open_reporter(*, silent: bool = False) -> Iterator[Reporter]:
    """The reporter that suits standard error, for the length of one command."""
    if silent:
        yield SilentReporter()
    elif not _is_terminal():
        yield PlainReporter()
    else:
        from rich.console import Console  # noqa: PLC0415  a tenth of a second few calls need
        from rich.progress import (  # noqa: PLC0415
            BarColumn,
            MofNCompleteColumn,
            Progress,
            Task,
            TextColumn,
            TimeElapsedColumn,
        )
        from rich.table import Column  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        # The label gives way to everything else on a narrow terminal.
        rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")

        class CountColumn(MofNCompleteColumn):
            """``3/4``; nothing where nobody counts."""

            def render(self, task: Task) -> Text:
                counted = task.total is not None or task.completed
                return super().render(task) if counted else Text()

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            CountColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[label]}", markup=False, style="dim", table_column=rest),
        )
        console = Console(stderr=True)  # Console itself honours NO_COLOR
        with Progress(*columns, console=console, transient=True, expand=True) as bars:
            reporter = TerminalReporter(bars)
            try:
                yield reporter
            finally:
                reporter.close()


def _is_terminal() -> bool:
    dumb = os.environ.get("TERM") == "dumb" or bool(os.environ.get("CI"))
    return sys.stderr.isatty() and not dumb
