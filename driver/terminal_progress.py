# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal: one bar, redrawn in place."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text


class CountColumn(MofNCompleteColumn):
    """``3/4``; nothing where nobody counts."""

    def render(self, task: Task) -> Text:
        counted = task.total is not None or task.completed
        return super().render(task) if counted else Text()


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
def terminal_reporter() -> Iterator[TerminalReporter]:
    """The reporter for standard error, if that is a terminal."""
    # The label gives way to everything else on a narrow terminal.
    rest = Column(ratio=1, no_wrap=True, overflow="ellipsis")

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
