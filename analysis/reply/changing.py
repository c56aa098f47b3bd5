# SPDX-License-Identifier: Apache-2.0
"""The last point: what it costs to change a file under the processes that map it."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from driver.results.reader import Run

CALLS = {"write-back": "fsync", "punch": "punch a hole of 2 MiB", "truncate": "truncate to nothing"}

# Of one GiB, touched once per 2 MiB.
ENTRIES = 512


@dataclass(frozen=True)
class CallCost:
    """Instructions of one call with one process, with most of them, and for each further one.

    ``each_plain`` is that of the unpatched kernel.
    """

    name: str
    entry: str
    alone_off: float
    alone_on: float
    most_off: float
    most_on: float
    sharers: int
    each_plain: float

    @property
    def each_off(self) -> float:
        return (self.most_off - self.alone_off) / (self.sharers - 1)

    @property
    def each_on(self) -> float:
        return (self.most_on - self.alone_on) / (self.sharers - 1)


@dataclass(frozen=True)
class Changing:
    """All calls by name and entry size, and the faults that a write-back leads to."""

    calls: dict[tuple[str, str], CallCost]
    sharers: int
    faults_off: float
    faults_on: float

    @property
    def entries(self) -> list[str]:
        return sorted({entry for _, entry in self.calls})

    def visit(self, entry: str = "2M") -> float:
        """Instructions of a write-back with sharing, for each entry and further process.

        It is the same whether that process has written to the entry or not.
        """
        return self.calls["write-back", entry].each_on / ENTRIES

    def plain_extra(self, entry: str = "2M") -> float:
        """The same with the switch off, on top of the unpatched kernel."""
        call = self.calls["write-back", entry]
        return (call.each_off - call.each_plain) / ENTRIES

    def flush_extra(self, entry: str = "2M") -> float:
        """Instructions more of a write-back, for each entry and further process.

        That is where every process has written to every entry. Where one has not, a walk without
        sharing has less to do, so that the difference is larger: up to :meth:`visit`.
        """
        call = self.calls["write-back", entry]
        return (call.each_on - call.each_off) / ENTRIES


def changing(run: Run) -> Changing:
    """From a run of reverse-unmap."""
    least, most = (int(run.finished["sharers"].agg(end)) for end in ("min", "max"))
    calls = {}
    for entry in sorted(set(run.finished["entry"])):

        def value(phase: str, sharing: str, sharers: int, kernel: str = "patched") -> float:
            levels = {"entry": entry, "sharing": sharing, "sharers": sharers}  # noqa: B023
            return tidy.number(run, "call", phase, kernel=kernel, **levels)

        for phase, name in CALLS.items():
            calls[phase, entry] = CallCost(
                name,
                entry,
                value(phase, "off", least),
                value(phase, "on", least),
                value(phase, "off", most),
                value(phase, "on", most),
                most,
                (value(phase, "off", most, "baseline") - value(phase, "off", least, "baseline"))
                / (most - least),
            )
    faults = [
        tidy.number(
            run, "minor-faults", "rewritten", kernel="patched", sharing=sharing, sharers=most
        )
        for sharing in ("off", "on")
    ]
    return Changing(calls, most, *faults)
