# SPDX-License-Identifier: Apache-2.0
"""The numbers of one trial, as the expressions of an experiment see them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from driver.experiment import expression
from driver.experiment.definition import Level, Metric
from driver.experiment.expression import ExpressionError, NoData
from driver.results.reader import Run

Key = tuple[str, str, int | None]  # metric, phase, process


@dataclass(frozen=True)
class MeasuredTrial:
    """Factors of a finished trial and the names its expressions may use.

    ``names`` holds the factors, one function per source, and every metric that could be
    evaluated; ``missing`` says why the others could not.
    """

    id: str
    factors: Mapping[str, Level]
    names: Mapping[str, Any]
    missing: Mapping[str, str]


def measured_trials(run: Run, metrics: Mapping[str, Metric]) -> list[MeasuredTrial]:
    """Every finished trial of a run that was read from disk, in plan order."""
    tables: dict[str, dict[str, dict[Key, int | float]]] = {}
    columns = ("trial", "source", "metric", "phase", "process", "value")
    frame = run.samples[list(columns)]
    for trial, source, metric, phase, process, value in frame.itertuples(index=False, name=None):
        worker = None if process is pd.NA else int(process)
        table = tables.setdefault(trial, {}).setdefault(source, {})
        table[(metric, phase, worker)] = _plain(value)
    found = []
    sampled = [*run.manifest.keep, "value"]
    for row in run.finished.to_dict("records"):
        trial = str(row["trial"])
        factors = {name: row[name] for name in run.factors}
        sources = tables.get(trial, {})
        names: dict[str, Any] = dict(factors)
        names |= {source: _lookup(source, sources.get(source, {})) for source in sampled}
        missing: dict[str, str] = {}
        for name, metric_ in metrics.items():
            try:
                names[name] = expression.number(metric_.value, names)
            except (NoData, ExpressionError) as error:
                missing[name] = str(error)
        found.append(MeasuredTrial(trial, factors, names, missing))
    return found


def _plain(value: Any) -> int | float:
    number = float(value)
    return int(number) if number.is_integer() else number


def _lookup(source: str, table: Mapping[Key, int | float]) -> Callable[..., int | float]:
    def lookup(metric: str, phase: str, process: int | None = None) -> int | float:
        try:
            return table[(metric, phase, process)]
        except KeyError:
            raise NoData(_explain(source, metric, phase, process, table)) from None

    return lookup


def _explain(
    source: str, metric: str, phase: str, process: int | None, table: Iterable[Key]
) -> str:
    metrics = sorted({key[0] for key in table})
    if metric not in metrics:
        close = difflib.get_close_matches(metric, metrics, n=1)
        return f"{source} has no {metric!r}" + (f" (but {close[0]!r})" if close else "")
    worker = "" if process is None else f" of worker {process}"
    return f"{source} has no {metric!r}{worker} in the phase {phase!r}"
