# SPDX-License-Identifier: Apache-2.0
"""The fourth point: what the added code costs those who share nothing."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from analysis.stats import Spread, spread
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
class OrdinaryCost:
    """Instructions of one operation on one kind of memory: unpatched, and differences to that.

    Differences are between guests of the same size; all spreads are over the sizes.
    """

    step: str
    memory: str
    plain: Spread
    off: Spread
    on: Spread
    off_again: Spread


def ordinary(run: Run) -> list[OrdinaryCost]:
    """From a run of disabled-cost."""
    rows = []
    for metric, step in STEPS.items():
        cost = tidy.at_phase(run, "value", metric, "done")
        for memory, name in MEMORY.items():
            if memory not in set(cost["memory"]):
                continue
            here = cost[cost["memory"] == memory].set_index("size")
            plain = here[here["kernel"] == "baseline"]["value"]
            patched = here[here["kernel"] == "patched"]
            more = [
                spread(list(patched[patched["sharing"] == sharing]["value"] - plain))
                for sharing in ("off", "on", "off-again")
            ]
            rows.append(OrdinaryCost(step, name, spread(list(plain)), *more))
    return rows
