# SPDX-License-Identifier: Apache-2.0
"""The fifth point: whether processes that share wait for each other."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from analysis.stats import Interval, median_interval
from driver.results.reader import Run

LOADS = {
    "fault": "map, touch 16 places, unmap",
    "fork": "fork; the child touches 16 places",
    "mixed": "half of them the one, half the other",
}
ARMS = {"unpatched": ("baseline", "off"), "off": ("patched", "off"), "on": ("patched", "on")}


@dataclass(frozen=True)
class Load:
    """One load on most processors.

    Per 100 operations sleeps for semaphores, and semaphores not had at the first attempt; per one
    operation faults.
    """

    name: str
    contended: dict[str, Interval]
    sleeps: dict[str, Interval]
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
    def apart(self) -> list[str]:
        """Loads for which the interval of sleeps with sharing on overlaps neither of the others."""
        return [
            f"*{load.name}*"
            for load in self.loads
            if all(
                load.sleeps["on"].low > other.high or load.sleeps["on"].high < other.low
                for other in (load.sleeps["off"], load.sleeps["unpatched"])
            )
        ]


def locking(run: Run) -> Locking:
    """From a run of contention."""
    most = int(run.finished["processors"].max())
    operations = tidy.at_phase(run, "value", "operations", "worked")["value"]

    def per_operation(load: str, scale: float, *metrics: str) -> dict[str, Interval]:
        frames = [tidy.at_phase(run, "value", metric, "worked") for metric in metrics]
        rows = frames[0].copy()
        rows["value"] = scale * sum(frame["value"] for frame in frames) / operations
        rows = rows[(rows["load"] == load) & (rows["processors"] == most)]
        found = {}
        for name, (kernel, sharing) in ARMS.items():
            chosen = rows[(rows["kernel"] == kernel) & (rows["sharing"] == sharing)]
            found[name] = median_interval(list(chosen["value"]))
        return found

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
            Load(
                name,
                per_operation(load, 100, "contended-writes", "contended-reads"),
                per_operation(load, 100, "sleeps"),
                per_operation(load, 1, "minor-faults"),
            )
            for load, name in LOADS.items()
            if load in set(run.finished["load"])
        ],
        added=float(taken.median()),
    )
