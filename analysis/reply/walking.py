# SPDX-License-Identifier: Apache-2.0
"""What page walks refer to, by the model of two processors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from driver.results.reader import Run

_TABLE = "page_walks.csv"
_LINE = 64
MODELS = {"ice-lake-sp": "Ice Lake SP, 48 MiB", "zen-3": "Zen 3, 32 MiB"}


@dataclass(frozen=True)
class Walking:
    """Loads of one arm: counts per 1,000 loads, references per walk, bytes of the last level."""

    model: str
    processes: int
    sharing: str
    walks: float
    steps: float
    from_llc: float
    from_memory: float
    table_bytes: float
    displaced: float


def walking(run: Run, place: Path) -> list[Walking]:
    """From a run of walk-cost in a directory: 4 KiB entries, uniform loads, 1 GiB."""
    table = pd.read_csv(place / _TABLE, keep_default_na=False)
    table = table[table["phase"] == "measured"]
    here = (table["entry"] == "4K") & (table["pattern"] == "uniform") & (table["gib"] == 1)
    samples = run.samples[run.samples["phase"] == "measured"]
    loads = samples[samples["metric"] == "loads"].set_index("trial")["value"]
    found = []
    arms = ["model", "processes", "sharing", "trial"]
    for keys, rows in table[here].groupby(arms, sort=True):
        model, processes, sharing, trial = (str(key) for key in keys)
        mine = rows[(rows["window"] == "cost") & (rows["space"] == "user")]
        per = 1000 / float(loads[trial])

        def count(rows: pd.DataFrame, event: str, served: str | None = None) -> float:
            wanted = rows["event"] == event
            if served is not None:
                wanted &= rows["served"] == served
            return float(rows[wanted]["count"].sum())

        walks = count(mine, "walk")
        found.append(
            Walking(
                model=MODELS[model],
                processes=int(processes),
                sharing=sharing,
                walks=walks * per,
                steps=count(mine, "reference") / max(walks, 1.0),
                from_llc=count(mine, "reference", "LLC") * per,
                from_memory=count(mine, "reference", "memory") * per,
                table_bytes=count(rows, "table-lines") * _LINE,
                displaced=count(mine, "displaced") * per,
            )
        )
    return found
