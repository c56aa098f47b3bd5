# SPDX-License-Identifier: Apache-2.0
"""The second point: what it costs to find a table to share."""

from __future__ import annotations

from dataclasses import dataclass

from analysis import tidy
from driver.results.reader import Run

# What a walk has to pass, by level of the factor `crowd`: mappings of the same range.
CROWDS = {
    "offset": "misaligned mappings",
    "matching": "untouched mappings",
    "mixed": "mappings of all three kinds",
    "protection": "read-only mappings",
}


@dataclass(frozen=True)
class Walk:
    """A search past mappings of one kind: instructions with one and with most, and the slope."""

    crowd: str
    alone: float
    most: float
    per_mapping: float
    examined: float

    @property
    def name(self) -> str:
        return CROWDS[self.crowd]


@dataclass(frozen=True)
class LookupCost:
    """Instructions of the first access to a GiB, by how its table is found."""

    made: float
    filled: float
    index_least: float
    index_most: float
    examined: float
    mappings: int
    samples: int
    walks: list[Walk]

    def costlier_than_making(self, walk: Walk) -> float:
        """Mappings from which on a walk costs more than making a table."""
        return 1 + (self.made - walk.alone) / walk.per_mapping

    def costlier_than_filling(self, walk: Walk) -> float:
        """Mappings from which on a walk costs more than filling the whole GiB by faults."""
        return 1 + (self.filled - walk.alone) / walk.per_mapping


def finding(run: Run) -> LookupCost:
    """From a run of lookup-cost."""
    cost = tidy.at_phase(run, "value", "first-access", "attached")
    examined = tidy.change(run, "vmstat", "dax_pt_share_examined", "crowded", "attached")
    rounds = tidy.at_phase(run, "value", "rounds", "attached")["value"]
    cost["examined"] = examined["change"] / rounds
    index, walk = (cost[cost["finder"] == finder] for finder in ("index", "walk"))
    most = int(walk["vmas"].max())
    walks = []
    for crowd, rows in walk.groupby("crowd", sort=False):
        ends = rows.set_index("vmas").loc[[rows["vmas"].min(), rows["vmas"].max()]]
        low, high = ends["value"]
        slope = (high - low) / (ends.index[1] - ends.index[0])
        walks.append(Walk(str(crowd), low, high, slope, ends["examined"].iloc[1]))
    return LookupCost(
        made=tidy.number(run, "first-access", "attached", finder="made"),
        filled=tidy.number(run, "fill", "filled", finder="made"),
        index_least=index["value"].min(),
        index_most=index["value"].max(),
        examined=index["examined"].max(),
        mappings=most,
        samples=int(tidy.number(run, "samples", "attached")),
        walks=sorted(walks, key=lambda one: one.per_mapping),
    )
