# SPDX-License-Identifier: Apache-2.0
"""A guest that behaves: it does the page-table arithmetic of a kernel instead of running one.

It knows the two workloads' command lines, keeps a count of page-table pages and prints the same
texts a kernel would. It can be made to misbehave.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import GuestLost
from driver.experiment.attempt import TrialGuest
from driver.guest.job import Job, JobResult, Sample, Value
from driver.results.observations import Observations

SWITCH = "/proc/sys/vm/dax_share_page_tables"
PAGE_KIB = 4
KERNEL_TABLE_PAGES = 37
IDLE_TABLE_PAGES = 210

# What the console of the template had said.
BOOT = "[    0.000000] Linux version 6.12.0\n[    0.200000] Freeing unused kernel image memory\n"

Misbehave = Callable[[Job], None]


@dataclass
class Guest:
    """One forked guest. ``overhead`` pages per process come with its stack, code and heap."""

    patched: bool
    misbehave: Misbehave
    wedged: bool = False
    leak: int = 0
    collisions: int = 0
    overhead: int = 6
    seen: list[Deadline] = field(default_factory=list)
    killed: threading.Event = field(default_factory=threading.Event)

    def __hash__(self) -> int:
        return id(self)

    def boot_console(self) -> str:
        return BOOT

    def console_text(self) -> str:
        return "[    0.000000] Linux version 6.12.0\n[    1.500000] guest ready\n"

    def evidence(self) -> Mapping[str, str]:
        return {"nvdimm": "beef"}

    def kill(self) -> None:
        self.killed.set()

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        self.seen.append(deadline)
        self.misbehave(job)
        if self.wedged and not self.killed.wait(timeout=20):
            raise AssertionError("nobody ended the wedged guest")
        if self.killed.is_set():
            raise GuestLost("QEMU was killed")
        deadline.check()
        return {"footprint": _footprint, "table-lifecycle": _table_lifecycle}[job.argv[0]](
            self, job
        )


@dataclass
class Factory:
    """Forks behaving guests and remembers how many are alive."""

    patched: bool
    misbehave: Misbehave = lambda _job: None
    wedged: bool = False
    leak: int = 0
    collisions: int = 0
    alive: int = 0
    forks: int = 0
    slow: float = 1.0
    tolerated: frozenset[str] = frozenset()
    seen: list[Deadline] = field(default_factory=list)

    def timeout_scale(self, jobs: int) -> float:
        return self.slow * jobs

    def observations(self, directory: Path, phases: Sequence[str]) -> Observations:
        assert directory.is_dir(), phases
        return {}

    @contextmanager
    def fork(
        self, directory: Path, *, tolerate: frozenset[str] = frozenset()
    ) -> Iterator[TrialGuest]:
        self.tolerated = tolerate
        assert directory.is_dir()
        self.alive += 1
        self.forks += 1
        try:
            yield Guest(
                self.patched,
                self.misbehave,
                self.wedged,
                self.leak,
                self.collisions,
                seen=self.seen,
            )
        finally:
            self.alive -= 1


def option(job: Job, name: str) -> str:
    return list(job.argv)[list(job.argv).index(name) + 1]


def _footprint(guest: Guest, job: Job) -> JobResult:
    processes, gib = int(option(job, "--processes")), int(option(job, "--gib"))
    entry = option(job, "--entry")
    sharing = _sharing(guest, job)
    copies = 1 if sharing else processes
    per_gib = 513 if entry == "4K" else 1
    mapped = IDLE_TABLE_PAGES + guest.overhead * processes
    touched = mapped + copies * gib * per_gib
    tables = {
        "before": IDLE_TABLE_PAGES,
        "mapped": mapped,
        "touched": touched,
        "half-unmapped": mapped + (1 if sharing else processes - processes // 2) * gib * per_gib,
        "gone": IDLE_TABLE_PAGES + guest.leak,
    }
    entries = gib * 512
    together = guest.collisions * (processes - 1)
    faults = entries + (processes - 1) * gib + together if sharing else processes * entries
    result = JobResult(status=0, output="done\n")
    for phase, pages in tables.items():
        shared = gib * per_gib if sharing and phase == "touched" else 0
        events = {"create": gib if sharing else 0}
        workers = [] if phase in ("before", "gone") else [0]
        result.samples += _samples(guest, job, Moment(phase, pages, shared, events, workers))
    result.values.append(Value("touched", "minor-faults-sum", "count", float(faults)))
    return result


def _table_lifecycle(guest: Guest, job: Job) -> JobResult:
    private = "--private" in job.argv
    sharing = _sharing(guest, job)
    small = option(job, "--entry") == "4K"
    table = 513 if small else 1
    # The private writer's own tables, in addition to the other's.
    own = 2 if sharing else table + (0 if small else 1)
    left = (1, 2, 1, 0)
    # Per phase: pages of tables; created, attached, detached, freed; faults of who acts.
    course: dict[str, tuple[int, tuple[int, ...], int | None]] = {
        "start": (0, (0, 0, 0, 0), None),
        "new": (table, (1, 1, 0, 0), 512),
        "share": (table if sharing else 2 * table, (1, 2, 0, 0), 1 if sharing else 512),
        **({"private-write": (table + own, left, 1)} if private else {}),
        "unmap-shared": (table, left, 0),
        "unmap-last": (0, (1, 2, 2, 1), None),
    }
    result = JobResult(status=0, output="done\n")
    for phase, (tables, counts, faults) in course.items():
        events = dict(zip(("create", "attach", "detach", "free"), counts, strict=True))
        if not sharing:
            events = dict.fromkeys(events, 0)
        pages = IDLE_TABLE_PAGES + tables + (guest.leak if phase == "unmap-last" else 0)
        shared = table if sharing and tables else 0
        result.samples += _samples(guest, job, Moment(phase, pages, shared, events, [0, 1]))
        if faults is not None:
            result.values.append(Value(phase, "minor-faults", "count", float(faults)))
    return result


def _sharing(guest: Guest, job: Job) -> bool:
    switch = [write.text for write in job.setup if write.path == SWITCH]
    return guest.patched and switch == ["1"]


@dataclass
class Moment:
    """What the kernel would count at one phase: pages of tables, and the series' events."""

    phase: str
    pages: int
    shared: int
    events: Mapping[str, int]
    workers: Sequence[int]


def _samples(guest: Guest, job: Job, now: Moment) -> Iterator[Sample]:
    """The texts of every source the job asks for; only a patched kernel has the new lines."""
    new_line = f"SharedPageTables: {now.shared * PAGE_KIB} kB\n" if guest.patched else ""
    counters = "".join(f"dax_pt_share_{name} {count}\n" for name, count in now.events.items())
    texts = {
        "/proc/meminfo": f"MemTotal:        1015000 kB\nMemFree:          900000 kB\n"
        f"PageTables:       {now.pages * PAGE_KIB} kB\n{new_line}HugePages_Total:       0\n",
        "/proc/vmstat": f"nr_page_table_pages {now.pages}\npgfault 1000\n"
        + (counters if guest.patched else ""),
        "kpageflags": f"nopage 12\npgtable {now.pages + KERNEL_TABLE_PAGES}\n",
    }
    for source in job.sources:
        yield Sample(now.phase, source, None, 1000, texts[source])
    for source in job.worker_sources:
        for worker in now.workers:
            yield Sample(now.phase, source, worker, 1000, "VmPTE:\t     24 kB\n")
