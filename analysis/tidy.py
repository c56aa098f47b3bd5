# SPDX-License-Identifier: Apache-2.0
"""From tidy samples to one row per trial."""

from __future__ import annotations

import pandas as pd

from driver.results.reader import Run

Level = bool | int | float | str


class NotSampled(LookupError):
    """A run holds no such number."""


def at_phase(
    run: Run, source: str, metric: str, phase: str, process: int | None = None
) -> pd.DataFrame:
    """One number per finished trial: the columns are the factors, ``repeat`` and ``value``.

    The index is the trial. ``value`` is in the unit the samples have it in. Raises
    :class:`NotSampled` when no trial has the number.
    """
    rows = run.samples
    rows = rows[(rows["source"] == source) & (rows["metric"] == metric) & (rows["phase"] == phase)]
    rows = rows[rows["process"].isna() if process is None else rows["process"] == process]
    if rows.empty:
        raise NotSampled(f"{run.name} has no {source} {metric} in the phase {phase}")
    trials = run.finished.set_index("trial")[[*run.factors, "repeat"]]
    return trials.join(rows.set_index("trial")["value"], how="inner")


def change(run: Run, source: str, metric: str, since: str, until: str) -> pd.DataFrame:
    """How much a number grew between two phases: like :func:`at_phase`, with ``change``."""
    before = at_phase(run, source, metric, since)
    after = at_phase(run, source, metric, until)
    grown = before.drop(columns="value").join(after["value"] - before["value"], how="inner")
    return grown.rename(columns={"value": "change"})


def by_phase(run: Run, source: str, metric: str) -> pd.DataFrame:
    """One number per finished trial and phase: like :func:`at_phase`, with ``phase``.

    For workloads whose phases are things they do. Raises :class:`NotSampled`.
    """
    rows = run.samples
    rows = rows[(rows["source"] == source) & (rows["metric"] == metric) & rows["process"].isna()]
    if rows.empty:
        raise NotSampled(f"{run.name} has no {source} {metric}")
    found = rows[rows["trial"].isin(run.finished["trial"])]
    return found[[*run.factors, "phase", "value"]].reset_index(drop=True)


def number(run: Run, metric: str, phase: str, **levels: Level) -> float:
    """What a workload reported in a phase, in the trials with these levels: their median.

    Raises :class:`NotSampled`.
    """
    rows = at_phase(run, "value", metric, phase)
    for factor, level in levels.items():
        rows = rows[rows[factor] == level]
    if rows.empty:
        chosen = ", ".join(f"{factor}={level}" for factor, level in levels.items())
        raise NotSampled(f"{run.name} has no {metric} in the phase {phase} with {chosen}")
    return float(rows["value"].median())
