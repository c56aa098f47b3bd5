# SPDX-License-Identifier: Apache-2.0
"""From the rows of one assertion to charts: what goes across, what becomes a panel, what a colour.

Across goes the factor that is swept over numbers in the most levels. Factors whose levels are arms
are compared, so they share a panel and differ in colour and mark, as many as a reader can
distinguish; every combination of what is left gets a panel of its own. Panels of one assertion are
compared with each other, so they have axes of one kind. Nothing here knows an experiment by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driver.experiment.definition import Experiment, Level
from driver.experiment.verdicts import CheckRow
from driver.htmlreport.axis import is_wide
from driver.htmlreport.chart import MARKS, ChartSeries, Drawing, Point, draw
from driver.results.verdict import FAILS
from driver.text import quantity

Levels = Mapping[str, Level]


@dataclass(frozen=True)
class Arms:
    """The arms of a run, numbered in the order of its plan, so that colours mean the same in all
    charts of a page.

    ``factors`` are those whose levels differ in colour: the first ones of the experiment whose
    combinations have a mark each, and at least one.
    """

    factors: tuple[str, ...]
    numbers: Mapping[tuple[str, ...], int]

    @classmethod
    def of(cls, experiment: Experiment, planned: Sequence[Levels]) -> Arms:
        factors = tuple(name for name, factor in experiment.factors.items() if factor.arms)
        while True:
            seen = dict.fromkeys(tuple(str(levels[name]) for name in factors) for levels in planned)
            if len(seen) <= len(MARKS) or len(factors) == 1:
                return cls(factors, {arm: number for number, arm in enumerate(seen)})
            factors = factors[:-1]

    def key(self, levels: Levels) -> tuple[str, ...]:
        return tuple(str(levels[name]) for name in self.factors)


def charts(
    experiment: Experiment, rows: Sequence[CheckRow], arms: Arms, unit: str
) -> tuple[list[Drawing], list[ChartSeries]]:
    """Drawings of the rows, and one series per arm in them for a legend.

    None if nothing is swept over numbers, or if every number is zero.
    """
    there = [row for row in rows if row.measured is not None]
    across = _across(experiment, there)
    if across is None or not any(row.measured or row.expected for row in there):
        return [], []
    panels: dict[tuple[tuple[str, str], ...], list[CheckRow]] = {}
    for row in there:
        panels.setdefault(_panel(row, arms, across), []).append(row)
    numbers = [_numbers(members) for members in panels.values()]
    logarithmic = any(map(is_wide, numbers)) and all(min(values) > 0 for values in numbers)
    factor = experiment.factors[across]
    drawings = [
        draw(
            " ".join(f"{name}={level}" for name, level in panel),
            _series(members, arms, across, unit),
            x_label=factor.label or across,
            unit=unit,
            logarithmic=logarithmic,
        )
        for panel, members in panels.items()
    ]
    return drawings, _series(there, arms, across, unit)


def _across(experiment: Experiment, rows: Sequence[CheckRow]) -> str | None:
    best, most = None, 1
    for name, factor in experiment.factors.items():
        if factor.arms or not all(_is_number(level) for level in factor.levels):
            continue
        levels = {row.levels[name] for row in rows if name in row.levels}
        if len(levels) > most:
            best, most = name, len(levels)
    return best


def _is_number(level: Level) -> bool:
    return isinstance(level, (int, float)) and not isinstance(level, bool)


def _panel(row: CheckRow, arms: Arms, across: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, str(level))
        for name, level in row.levels.items()
        if name != across and name not in arms.factors
    )


def _numbers(rows: Sequence[CheckRow]) -> list[float]:
    both = (value for row in rows for value in (row.measured, row.expected))
    return [value for value in both if value is not None]


def _series(rows: Sequence[CheckRow], arms: Arms, across: str, unit: str) -> list[ChartSeries]:
    groups: dict[tuple[str, ...], list[CheckRow]] = {}
    for row in rows:
        groups.setdefault(arms.key(row.levels), []).append(row)
    return [
        ChartSeries(
            number=arms.numbers[arm],
            label=", ".join(arm) or "measured",
            points=tuple(
                Point(level, row.measured, _sentence(row, unit), row.verdict != FAILS)
                for level, row in _by_level(members, across)
                if row.measured is not None
            ),
            predicted=tuple(
                sorted(
                    {
                        (level, row.expected)
                        for level, row in _by_level(members, across)
                        if row.expected is not None
                    }
                )
            ),
        )
        for arm, members in sorted(groups.items(), key=lambda item: arms.numbers[item[0]])
    ]


def _by_level(rows: Sequence[CheckRow], across: str) -> list[tuple[float, CheckRow]]:
    found = [(float(row.levels[across]), row) for row in rows]
    return sorted(found, key=lambda pair: pair[0])


def _sentence(row: CheckRow, unit: str) -> str:
    where = " ".join(f"{name}={level}" for name, level in row.levels.items())
    text = f"{where}: measured {quantity(row.measured, unit)}"
    if row.expected is None:
        return text
    return f"{text}, predicted {quantity(row.expected, unit)} ({row.verdict})"
