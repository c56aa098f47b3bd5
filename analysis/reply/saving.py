# SPDX-License-Identifier: Apache-2.0
"""The first point: how much page-table memory, and how many faults, sharing saves."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analysis import stats, tidy
from analysis.stats import FittedLine
from driver.results.reader import Run

NAMES = {"2M": "2 MiB", "4K": "4 KiB"}


@dataclass(frozen=True)
class Tables:
    """Page tables by entry size: lines of bytes per GiB against processes."""

    entry: str
    own: FittedLine
    shared: FittedLine

    @property
    def name(self) -> str:
        return NAMES[self.entry]

    def unshared(self, processes: int, gib: float = 1) -> float:
        """Bytes of page tables without sharing."""
        return self.own.at(processes) * gib

    def left(self, processes: int, gib: float = 1) -> float:
        """Bytes of page tables with sharing."""
        return self.shared.at(processes) * gib

    def saved(self, processes: int, gib: float = 1) -> float:
        return self.unshared(processes, gib) - self.left(processes, gib)

    def error(self, processes: int, gib: float = 1) -> float:
        """Standard error of what is saved, in bytes, from the scatter around both lines."""
        errors = [line.error or 0.0 for line in (self.own, self.shared)]
        return processes * gib * math.hypot(*errors)


@dataclass(frozen=True)
class Filling:
    """Touching every entry of one GiB: faults and instructions, by entry size and access.

    Totals are medians of ``samples`` rounds.
    """

    entry: str
    accesses: float
    fault: float
    fault_baseline: float
    fault_shared: float
    first_own: float
    first_shared: float
    later_own: float
    later_shared: float
    later_faults: float
    attach: float
    make: float
    samples: float

    @property
    def name(self) -> str:
        return NAMES[self.entry]

    @property
    def saved(self) -> float:
        """Instructions that each later process saves."""
        return self.later_own - self.later_shared

    @property
    def extra(self) -> float:
        """Instructions that the first process pays more."""
        return self.first_shared - self.first_own

    @property
    def pays_from(self) -> int:
        """Processes from which on all together save instructions."""
        return max(2, 1 + math.ceil(self.extra / self.saved))


def tables(run: Run) -> dict[str, Tables]:
    """From a run of pagetable-footprint, on the patched kernel."""
    growth = tidy.change(run, "meminfo", "PageTables", since="mapped", until="touched")
    growth["per_gib"] = growth["change"] / growth["gib"]
    lines = stats.fit_lines(growth, "processes", "per_gib", by=["entry", "kernel", "sharing"])
    return {
        entry: Tables(entry, lines[entry, "patched", "off"], lines[entry, "patched", "on"])
        for entry in NAMES
        if (entry, "patched", "on") in lines
    }


def filling(run: Run, access: str = "write") -> dict[str, Filling]:
    """From a run of fault-saving."""
    found = {}
    for entry in NAMES:
        if entry not in set(run.finished["entry"]):
            continue

        def value(metric: str, phase: str, sharing: str, kernel: str = "patched") -> float:
            levels = {"entry": entry, "access": access, "sharing": sharing, "kernel": kernel}  # noqa: B023
            return tidy.number(run, metric, phase, **levels)

        found[entry] = Filling(
            entry=entry,
            accesses=value("accesses", "first", "off"),
            fault=value("access", "first", "off"),
            fault_baseline=value("access", "first", "off", "baseline"),
            fault_shared=value("access", "first", "on"),
            first_own=value("touch", "first", "off"),
            first_shared=value("touch", "first", "on"),
            later_own=value("touch", "second", "off"),
            later_shared=value("touch", "second", "on"),
            later_faults=value("minor-faults", "second", "on"),
            attach=value("first-access", "second", "on"),
            make=value("first-access", "second", "off"),
            samples=value("samples", "second", "off"),
        )
    return found
