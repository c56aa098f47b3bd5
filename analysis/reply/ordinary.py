# SPDX-License-Identifier: Apache-2.0
"""The fourth point: what the added code costs those who share nothing."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from driver.results.reader import Run

STEPS = {
    "fault": "page fault",
    "mmap": "mmap",
    "mprotect": "mprotect",
    "munmap": "munmap",
    "fork-least": "fork",
    "exit-least": "exit",
}
MEMORY = {
    "anonymous": "anonymous",
    "page-cache": "page cache",
    "dax-2M": "DAX, 2 MiB entries",
    "dax-4K": "DAX, 4 KiB entries",
}


@dataclass(frozen=True)
class Row:
    """Instructions of one operation on one kind of memory: unpatched, and differences to that."""

    step: str
    memory: str
    plain: float
    off: float
    on: float
    off_again: float


def ordinary(run: Run) -> list[Row]:
    """From a run of disabled-cost."""
    rows = []
    for metric, step in STEPS.items():
        for memory, name in MEMORY.items():
            if memory not in set(run.finished["memory"]):
                continue
            plain = tidy.number(run, metric, "done", memory=memory, kernel="baseline")
            more = [
                tidy.number(run, metric, "done", memory=memory, kernel="patched", sharing=sharing)
                - plain
                for sharing in ("off", "on", "off-again")
            ]
            rows.append(Row(step, name, plain, *more))
    return rows
