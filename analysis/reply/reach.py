# SPDX-License-Identifier: Apache-2.0
"""Scale: ten thousand processes, and programs that ask for no address."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import stats, tidy
from analysis.stats import FittedLine
from driver.intervals import Interval, rate_interval
from driver.results.reader import Run

# What one page of PUDs spans; it is not shared.
PUD_PAGE_GIB = 512
PAGE = 4096


@dataclass(frozen=True)
class Scale:
    """Lines of bytes per GiB against processes, up to what was measured."""

    own: FittedLine
    shared: FittedLine
    processes: int
    gib: int
    own_bytes: float
    shared_bytes: float
    other: float
    touch_own: float
    touch_shared: float

    def own_at(self, processes: int, gib: float) -> float:
        return self.own.at(processes) * gib

    def shared_at(self, processes: int, gib: float) -> float:
        return self.shared.at(processes) * gib

    def error(self, processes: int, gib: float) -> float:
        """Standard error of either, in bytes."""
        return max(line.error or 0.0 for line in (self.own, self.shared)) * processes * gib

    def resolution(self, processes: int, gib: float) -> float:
        """Bytes by which a projection is off if a count of most processes is off by one page."""
        return PAGE * (processes * gib) / (self.processes * self.gib)

    @staticmethod
    def above(processes: int, gib: int) -> int:
        """Bytes of the pages of PUDs above the tables, which each process has for itself."""
        return processes * -(-gib // PUD_PAGE_GIB) * PAGE


@dataclass(frozen=True)
class AlignedProgram:
    """Starts of one program that could share, by arm."""

    name: str
    rates: dict[str, Interval]


@dataclass(frozen=True)
class Alignment:
    """All programs, and the different addresses that starts with sharing on were given."""

    starts: int
    programs: list[AlignedProgram]
    places_least: float
    places_most: float


PROGRAMS = {
    "one-gib": "1 GiB from the start of the file",
    "whole-file": "all 2 GiB of it",
    "window": "1.5 GiB from 512 MiB on",
    "private": "all 2 GiB, private and read-only",
}
ARMS = {"unpatched": ("baseline", "off"), "off": ("patched", "off"), "on": ("patched", "on")}


def scale(run: Run) -> Scale:
    """From a run of scale."""
    growth = tidy.change(run, "meminfo", "PageTables", since="mapped", until="touched")
    growth["per_gib"] = growth["change"] / growth["gib"]
    lines = stats.fit_lines(growth, "processes", "per_gib", by=["tables"])
    total = tidy.at_phase(run, "meminfo", "MemTotal", "touched")["value"]
    free = tidy.at_phase(run, "meminfo", "MemFree", "touched")["value"]
    growth["other"] = total - free - growth["change"]
    touch = tidy.at_phase(run, "value", "touch", "touched")["value"]
    growth["touch"] = touch
    most, gib = int(growth["processes"].max()), int(growth["gib"].max())
    largest = growth[(growth["processes"] == most) & (growth["gib"] == gib)]

    def at_most(arm: str, column: str) -> float:
        return float(largest.loc[largest["tables"] == arm, column].iloc[0])

    # All guests of a fit have the same memory, which is what large plans use.
    large = growth["processes"] >= 1000
    rows = growth[large] if growth[large]["processes"].nunique() > 1 else growth
    other = stats.fit_lines(rows[rows["tables"] == "shared"], "processes", "other", by=["gib"])
    return Scale(
        own=lines["own",],
        shared=lines["shared",],
        processes=most,
        gib=gib,
        own_bytes=at_most("own", "change"),
        shared_bytes=at_most("shared", "change"),
        other=other[gib,].slope,
        touch_own=at_most("own", "touch"),
        touch_shared=at_most("shared", "touch"),
    )


def alignment(run: Run) -> Alignment:
    """From a run of alignment."""
    starts = int(tidy.number(run, "starts", "landed"))
    programs = []
    for program, name in PROGRAMS.items():
        if program not in set(run.finished["program"]):
            continue
        rates = {}
        for arm, (kernel, sharing) in ARMS.items():
            levels = {"program": program, "kernel": kernel, "sharing": sharing}
            aligned = tidy.number(run, "aligned", "landed", **levels)
            rates[arm] = rate_interval(int(aligned), starts)
        programs.append(AlignedProgram(name, rates))
    places = tidy.at_phase(run, "value", "places", "landed")
    on = places[(places["kernel"] == "patched") & (places["sharing"] == "on")]["value"]
    return Alignment(starts, programs, on.min(), on.max())
