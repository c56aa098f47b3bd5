# SPDX-License-Identifier: Apache-2.0
"""The tables an experiment asks for: one metric, rows by some factors, columns by another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driver.experiment.definition import Experiment, Level, SummaryTable
from driver.experiment.measured import MeasuredTrial
from driver.text import extent


@dataclass(frozen=True)
class Grid:
    """A table as text: ``headings`` stand over the levels that name a row, ``columns`` over cells.

    A cell is one number if all repeats agree, else the smallest and the largest.
    """

    title: str
    headings: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def grid(experiment: Experiment, table: SummaryTable, trials: Sequence[MeasuredTrial]) -> Grid:
    """Fill a table with what was measured; bytes are shown in KiB."""
    unit = experiment.metrics[table.metric].unit
    scale, shown = (1024, "KiB") if unit == "B" else (1, unit)
    across = experiment.factors[table.columns]
    present = [
        level
        for level in across.levels
        if any(trial.factors[table.columns] == level for trial in trials)
    ]
    cells: dict[tuple[Level, ...], dict[str, set[float]]] = {}
    for trial in trials:
        row = cells.setdefault(tuple(trial.factors[name] for name in table.rows), {})
        value = trial.names.get(table.metric)
        if value is not None:
            row.setdefault(str(trial.factors[table.columns]), set()).add(value / scale)
    keys = sorted(cells, key=lambda key: order(experiment, dict(zip(table.rows, key, strict=True))))
    return Grid(
        title=f"{table.title}, in {shown}, by {across.label or table.columns}",
        headings=tuple(experiment.factors[name].unit or name for name in table.rows),
        columns=tuple(str(level) for level in present),
        rows=tuple(
            (
                tuple(str(level) for level in key),
                tuple(_cell(cells[key].get(str(level), set())) for level in present),
            )
            for key in keys
        ),
    )


def order(experiment: Experiment, levels: Mapping[str, Level]) -> tuple[int, ...]:
    """Sorts rows in the order in which the experiment lists the levels."""
    return tuple(experiment.factors[name].levels.index(level) for name, level in levels.items())


def _cell(values: set[float]) -> str:
    """One value if all repeats agree, else the smallest and the largest."""
    return extent(values, "", whole=True) or "-"
