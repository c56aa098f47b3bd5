# SPDX-License-Identifier: Apache-2.0
"""The numbers of one trial, as the expressions of an experiment see them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from driver.errors import UserError
from driver.experiment import expression
from driver.experiment.definition import Level, Metric
from driver.experiment.expression import ExpressionError, NoData
from driver.results.directory import RunDirectory
from driver.results.observations import read_table
from driver.results.reader import Run
from driver.suggestion import closest

Key = tuple[str, str, int | None]  # metric, phase, process


@dataclass(frozen=True)
class MeasuredTrial:
    """Factors of a finished trial and the names its expressions may use.

    ``names`` holds the factors, one function per source, every metric that could be evaluated,
    and the function that asks another trial of the same round for one of its metrics;
    ``missing`` says why the other metrics could not be evaluated.
    """

    id: str
    repeat: int
    factors: Mapping[str, Level]
    names: dict[str, Any]
    missing: Mapping[str, str]


def measured_trials(
    run: Run, metrics: Mapping[str, Metric], directory: RunDirectory
) -> list[MeasuredTrial]:
    """Every finished trial of a run that was read from its directory, in plan order."""
    observations = Observed(directory)
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
        names[expression.OBSERVED] = observations.lookup(trial)
        missing: dict[str, str] = {}
        for name, metric_ in metrics.items():
            try:
                names[name] = expression.number(metric_.value, names)
            except (NoData, ExpressionError) as error:
                missing[name] = str(error)
        found.append(MeasuredTrial(trial, int(row["repeat"]), factors, names, missing))
    for item in found:
        item.names[expression.ELSEWHERE] = _elsewhere(item, found)
    return found


class Observed:
    """The tables that instruments have made of a run, each read when it is first asked for."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._tables: dict[str, dict[str, pd.DataFrame]] = {}

    def lookup(self, trial: str) -> Callable[..., int | float]:
        """The function ``observed`` of one trial."""

        def observed(table: str, column: str, phase: str, **cells: str) -> int | float:
            rows = self._rows(f"{table}.csv", trial)
            for name, wanted in {"phase": phase, **cells}.items():
                if name not in rows.columns:
                    raise NoData(f"{table}.csv has no column {name!r}")
                rows = rows[rows[name].astype(str) == str(wanted)]
            if column not in rows.columns:
                raise NoData(f"{table}.csv has no column {column!r}")
            return _plain(pd.to_numeric(rows[column]).sum())

        return observed

    def _rows(self, name: str, trial: str) -> pd.DataFrame:
        if name not in self._tables:
            try:
                table = read_table(self._run, name)
            except UserError as error:
                raise NoData(error.message) from error
            groups = table.groupby("trial", sort=False)
            self._tables[name] = {str(each): rows for each, rows in groups}
        try:
            return self._tables[name][trial]
        except KeyError:
            raise NoData(f"{name} has no row of {trial}: no instrument watched it") from None


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


def _elsewhere(here: MeasuredTrial, trials: Sequence[MeasuredTrial]) -> Callable[..., int | float]:
    def elsewhere(metric: str, **levels: Level) -> int | float:
        wanted = {**here.factors, **levels}
        for trial in trials:
            if trial.repeat == here.repeat and trial.factors == wanted:
                break
        else:
            other = ", ".join(f"{name}={level}" for name, level in levels.items())
            raise NoData(f"there is no finished trial like {here.id} with {other}")
        if metric in trial.missing:
            raise NoData(f"{trial.id}: {trial.missing[metric]}")
        value: int | float = trial.names[metric]
        return value

    return elsewhere


def _explain(
    source: str, metric: str, phase: str, process: int | None, table: Iterable[Key]
) -> str:
    metrics = sorted({key[0] for key in table})
    if metric not in metrics:
        close = closest(metric, metrics)
        return f"{source} has no {metric!r}" + (f" (but {close[0]!r})" if close else "")
    worker = "" if process is None else f" of worker {process}"
    return f"{source} has no {metric!r}{worker} in the phase {phase!r}"
