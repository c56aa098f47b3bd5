# SPDX-License-Identifier: Apache-2.0
"""The third point: what a process pays that changes a mapping whose table it shares."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from analysis.reply.saving import NAMES as NAMES_OF_ENTRIES
from driver.results.reader import Run

NAMES = {
    "munmap-part": "munmap of 2 MiB",
    "map-fixed": "MAP_FIXED over 2 MiB",
    "mprotect": "mprotect of 2 MiB",
    "madvise": "MADV_DONTNEED of 2 MiB",
    "mremap": "mremap of 1 GiB",
    "munmap": "munmap of 1 GiB",
    "fork": "fork",
    "exec": "exec",
    "exit": "exit",
}
# Nothing of the mapping is left after these; fork is followed by the child's use of it.
GIVES_UP_ALL = frozenset({"munmap", "exec", "exit"})


@dataclass(frozen=True)
class Operation:
    """One thing a process does: instructions of the call and of touching the rest, and faults.

    ``leaves`` tells whether anything of the mapping is left to touch. ``shootdowns`` are interrupts
    of other processors with sharing off and on, if counted.
    """

    name: str
    leaves: bool
    call_off: float
    call_on: float
    after_off: float
    after_on: float
    faults_off: float
    faults_on: float
    shootdowns: tuple[float, float] | None

    @property
    def lost(self) -> float:
        """Instructions that it costs more with sharing, in all."""
        return self.call_on + self.after_on - self.call_off - self.after_off


@dataclass(frozen=True)
class Leaving:
    """All operations, for one number of processes that share a GiB mapped by 2 MiB entries.

    ``alone`` is the munmap of a part by the only user of a table, by size of entry: instructions of
    the call with sharing off and on. For shootdowns a thread of the process ran on each processor
    but its own: ``interrupted`` of them.
    """

    sharers: int
    samples: int
    interrupted: int
    operations: dict[str, Operation]
    fill_off: float
    fill_on: float
    alone: dict[str, tuple[float, float]]

    @property
    def saved(self) -> float:
        """Instructions that sharing saves a process when it first touches the GiB."""
        return self.fill_off - self.fill_on

    @property
    def part_all(self) -> tuple[float, float]:
        """Touching all, unmapping a part, touching the rest: with sharing off and on."""
        part = self.operations["munmap-part"]
        off = self.fill_off + part.call_off + part.after_off
        return off, self.fill_on + part.call_on + part.after_on


def leaving(run: Run, sharers: int = 16) -> Leaving:
    """From a run of unshare-cost; of the numbers of sharers up to that asked for, the largest."""
    counted = set(run.finished.query("entry == '2M' and processors == 1")["sharers"])
    chosen = max(number for number in counted if number <= sharers)
    processors = int(run.finished["processors"].max())

    def both(metric: str, phase: str, **levels: tidy.Level) -> tuple[float, float]:
        arm: dict[str, tidy.Level] = {"kernel": "patched", "entry": "2M", **levels}
        off, on = (
            tidy.number(run, metric, phase, sharing=sharing, **arm) for sharing in ("off", "on")
        )
        return off, on

    operations = {}
    for phase, name in NAMES.items():
        here: dict[str, tidy.Level] = {"sharers": chosen, "processors": 1}
        call = both("call", phase, **here)
        after = both("refill", phase, **here)
        faults = both("faults-after", phase, **here)
        interrupts = None
        if processors > 1 and phase not in ("exec", "exit"):
            interrupts = both("shootdowns", phase, processors=processors)
        leaves = phase not in GIVES_UP_ALL
        operations[phase] = Operation(name, leaves, *call, *after, *faults, interrupts)
    fill = both("fill", "munmap-part", sharers=chosen, processors=1)
    samples = int(tidy.number(run, "samples", "joined"))
    alone = {
        NAMES_OF_ENTRIES[entry]: both("call", "munmap-part", entry=entry, sharers=1, processors=1)
        for entry in NAMES_OF_ENTRIES
        if entry in set(run.finished["entry"])
    }
    return Leaving(int(chosen), samples, processors - 1, operations, *fill, alone)
