# SPDX-License-Identifier: Apache-2.0
"""The fifth point: whether processes that share wait for each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis import tidy
from driver.intervals import Interval, holm, median_interval, rank_test
from driver.results.reader import Run

LOADS = {
    "fault": "map, touch 16 places, unmap",
    "fork": "fork; the child touches 16 places",
    "mixed": "half of them do the first, half the second",
}
# Differences that chance makes more often than this are not called any.
MOST_CHANCE = 0.05
ARMS = {"unpatched": ("baseline", "off"), "off": ("patched", "off"), "on": ("patched", "on")}


@dataclass(frozen=True)
class Load:
    """One load on most processors.

    Per 100 operations failed first attempts at a semaphore (``contended``) and sleeps for one, each
    with how likely chance alone is to make sharing differ so much from the other two arms, and
    spinlocks that were not free (``spins``); per operation faults.
    """

    name: str
    contended: dict[str, Interval]
    contended_chance: float
    sleeps: dict[str, Interval]
    sleeps_chance: float
    spins: dict[str, Interval]
    faults: dict[str, Interval]


@dataclass(frozen=True)
class Locking:
    """All loads, and how often sharing took the lock of the file's mappings per operation."""

    processors: int
    workers: int
    rounds: int
    loads: list[Load]
    added: float

    @property
    def counts_spins(self) -> bool:
        """Whether the kernels counted spinlocks: where all are free all the time, none did."""
        return any(spins.high > 0 for load in self.loads for spins in load.spins.values())

    @property
    def sleeps_differ(self) -> list[str]:
        """Loads with which sharing makes a difference in sleeps, and which: see :func:`_apart`."""
        chances = [load.sleeps_chance for load in self.loads]
        return _apart(self.loads, [load.sleeps for load in self.loads], chances)

    @property
    def contended_differ(self) -> list[str]:
        """The same of failed first attempts."""
        chances = [load.contended_chance for load in self.loads]
        return _apart(self.loads, [load.contended for load in self.loads], chances)


def _apart(
    loads: Sequence[Load], counts: Sequence[dict[str, Interval]], chances: Sequence[float]
) -> list[str]:
    """Loads with which sharing differs by more than chance, and in which direction."""
    found = []
    for load, count, likely in zip(loads, counts, holm(chances), strict=True):
        if likely < MOST_CHANCE:
            more = count["on"].estimate > count["off"].estimate
            found.append(f"{'more' if more else 'less'} often with *{load.name}*")
    return found


def _intervals(samples: dict[str, list[float]]) -> dict[str, Interval]:
    return {arm: median_interval(values) for arm, values in samples.items()}


def _by_chance(samples: dict[str, list[float]]) -> float:
    """How likely those with sharing on are to lie so far from all others by chance."""
    return rank_test(samples["on"], [*samples["off"], *samples["unpatched"]])


def locking(run: Run) -> Locking:
    """From a run of contention."""
    most = int(run.finished["processors"].max())
    operations = tidy.at_phase(run, "value", "operations", "worked")["value"]

    def of(load: str, scale: float, *metrics: str) -> dict[str, list[float]]:
        frames = [tidy.at_phase(run, "value", metric, "worked") for metric in metrics]
        rows = frames[0].copy()
        rows["value"] = scale * sum(frame["value"] for frame in frames) / operations
        rows = rows[(rows["load"] == load) & (rows["processors"] == most)]
        found = {}
        for name, (kernel, sharing) in ARMS.items():
            chosen = rows[(rows["kernel"] == kernel) & (rows["sharing"] == sharing)]
            found[name] = list(chosen["value"])
        return found

    def by_load(load: str, name: str) -> Load:
        contended = of(load, 100, "contended-writes", "contended-reads")
        sleeps, faults = of(load, 100, "sleeps"), of(load, 1, "minor-faults")
        return Load(
            name,
            _intervals(contended),
            _by_chance(contended),
            _intervals(sleeps),
            _by_chance(sleeps),
            _intervals(of(load, 100, "contended-spins")),
            _intervals(faults),
        )

    changes = [
        tidy.change(run, "vmstat", f"dax_pt_share_{what}", "ready", "worked")
        for what in ("attach", "detach")
    ]
    changes = [change[change["sharing"] == "on"] for change in changes]
    taken = (changes[0]["change"] + changes[1]["change"]) / operations[changes[0].index]
    return Locking(
        processors=most,
        workers=int(tidy.number(run, "workers", "worked")),
        rounds=int(run.trials["repeat"].nunique()),
        loads=[
            by_load(load, name) for load, name in LOADS.items() if load in set(run.finished["load"])
        ],
        added=float(taken.median()),
    )
