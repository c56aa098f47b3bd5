# SPDX-License-Identifier: Apache-2.0
"""A guest that behaves: it does the page-table arithmetic of a kernel instead of running one.

It knows the two workloads' command lines, keeps a count of page-table pages and prints the same
texts a kernel would. It can be told to misbehave.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import GuestLost
from driver.experiment.runner import TrialGuest
from driver.guest.job import Job, JobResult, Sample, Value

SWITCH = "/proc/sys/vm/dax_share_page_tables"
PAGE_KIB = 4
KERNEL_TABLE_PAGES = 37
IDLE_TABLE_PAGES = 210

Misbehave = Callable[[Job], None]


@dataclass
class Guest:
    """One forked guest. ``overhead`` pages per process come with its stack, code and heap."""

    patched: bool
    misbehave: Misbehave
    wedged: bool = False
    leak: int = 0
    overhead: int = 6
    killed: threading.Event = field(default_factory=threading.Event)

    def __hash__(self) -> int:
        return id(self)

    def console_text(self) -> str:
        return "[    0.000000] Linux version 6.12.0\n[    1.500000] guest ready\n"

    def kill(self) -> None:
        self.killed.set()

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        self.misbehave(job)
        if self.wedged and not self.killed.wait(timeout=20):
            raise AssertionError("nobody ended the wedged guest")
        if self.killed.is_set():
            raise GuestLost("QEMU was killed")
        deadline.check()
        return _footprint(self, job)


@dataclass
class Factory:
    """Forks behaving guests and remembers how many are alive."""

    patched: bool
    misbehave: Misbehave = lambda _job: None
    wedged: bool = False
    leak: int = 0
    alive: int = 0
    forks: int = 0

    @contextmanager
    def fork(self, directory: Path) -> Iterator[TrialGuest]:
        assert directory.is_dir()
        self.alive += 1
        self.forks += 1
        try:
            yield Guest(self.patched, self.misbehave, self.wedged, self.leak)
        finally:
            self.alive -= 1


def option(job: Job, name: str) -> str:
    return list(job.argv)[list(job.argv).index(name) + 1]


def _footprint(guest: Guest, job: Job) -> JobResult:
    processes, gib = int(option(job, "--processes")), int(option(job, "--gib"))
    entry = option(job, "--entry")
    switch = [write.text for write in job.setup if write.path == SWITCH]
    sharing = guest.patched and switch == ["1"]
    copies = 1 if sharing else processes
    per_gib = 513 if entry == "4K" else 1
    mapped = IDLE_TABLE_PAGES + guest.overhead * processes
    touched = mapped + copies * gib * per_gib
    tables = {
        "before": IDLE_TABLE_PAGES,
        "mapped": mapped,
        "touched": touched,
        "half-unmapped": mapped + copies * gib * (1 if per_gib == 1 else 257),
        "gone": IDLE_TABLE_PAGES + guest.leak,
    }
    entries = gib * (1 << 18 if entry == "4K" else 1 << 9)
    faults = entries + (processes - 1) * gib if sharing else processes * entries
    result = JobResult(status=0, output="done\n")
    for number, (phase, pages) in enumerate(tables.items()):
        shared = gib * per_gib if sharing and phase == "touched" else 0
        texts = {
            "/proc/meminfo": f"MemTotal:        1015000 kB\nMemFree:          900000 kB\n"
            f"PageTables:       {pages * PAGE_KIB} kB\n"
            + (f"SharedPageTables: {shared * PAGE_KIB} kB\n" if guest.patched else "")
            + "HugePages_Total:       0\n",
            "/proc/vmstat": f"nr_page_table_pages {pages}\npgfault {1000 * number}\n"
            + (f"dax_pt_share_create {gib if sharing else 0}\n" if guest.patched else ""),
            "kpageflags": f"nopage 12\npgtable {pages + KERNEL_TABLE_PAGES}\n",
        }
        for source in job.sources:
            result.samples.append(Sample(phase, source, None, number * 1000, texts[source]))
        for worker_source in job.worker_sources:
            if phase not in ("before", "gone"):
                result.samples.append(
                    Sample(phase, worker_source, 0, number * 1000, "VmPTE:\t     24 kB\n")
                )
    result.values.append(Value("touched", "faults", "faults", float(faults)))
    return result
