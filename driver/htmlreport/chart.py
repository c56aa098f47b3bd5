# SPDX-License-Identifier: Apache-2.0
"""A small chart as geometry: what was measured as marks, what was predicted as lines.

Coordinates are in the units of the drawing's own view box, so that a page may show it at any
size; colours are left to the page, which knows whether it is dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from driver.htmlreport.axis import Axis, label, level_axis, value_axis

WIDTH, HEIGHT = 340.0, 230.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 14.0, 10.0, 40.0
# Spans are drawn next to the marks of their level, those of several arms side by side.
_ASIDE = 4.0
# Marks that differ visibly when they lie upon each other: a ring around a dot, a cross in it.
MARKS = ("ring", "dot", "cross", "square")


@dataclass(frozen=True)
class Point:
    """One measured number at a level, whether it holds, and a sentence about it."""

    level: float
    value: float
    tooltip: str
    good: bool = True


@dataclass(frozen=True)
class ChartSeries:
    """One arm: its number among the arms decides colour and mark.

    ``predicted`` are levels and values, by level. Several values at one level are predictions made
    for each repeat by what another trial of it measured.
    """

    number: int
    label: str
    points: tuple[Point, ...]
    predicted: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Mark:
    """A point on the drawing."""

    x: float
    y: float
    shape: str
    colour: int
    tooltip: str
    good: bool


@dataclass(frozen=True)
class Polyline:
    """A polyline, as the ``points`` attribute has it; a single point becomes a short dash."""

    points: str
    colour: int


@dataclass(frozen=True)
class Tick:
    """A label of an axis, and where on it."""

    at: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """Everything the template draws; ``description`` says in words what it shows."""

    title: str
    description: str
    unit: str
    x_label: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    lines: tuple[Polyline, ...]
    marks: tuple[Mark, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


def draw(
    title: str,
    series: Sequence[ChartSeries],
    *,
    x_label: str,
    unit: str,
    logarithmic: bool | None = None,
) -> Drawing:
    """Lay out one chart; there must be at least one point or prediction in it.

    ``logarithmic`` is the kind of its value axis; None lets its own values decide.
    """
    values = [point.value for one in series for point in one.points]
    values += [value for one in series for _, value in one.predicted]
    levels = [point.level for one in series for point in one.points]
    levels += [level for one in series for level, _ in one.predicted]
    across, up = level_axis(levels), value_axis(values, unit, logarithmic=logarithmic)
    return Drawing(
        title=title,
        description=_description(title, series, x_label, unit),
        unit=unit,
        x_label=x_label,
        x_ticks=tuple(Tick(_x(across, tick), f"{tick:g}") for tick in across.ticks),
        y_ticks=tuple(Tick(_y(up, tick), label(tick, unit)) for tick in up.ticks),
        lines=tuple(line for one in series for line in _lines(across, up, one)),
        marks=tuple(
            Mark(
                _x(across, point.level),
                _y(up, point.value),
                MARKS[one.number % len(MARKS)],
                one.number,
                point.tooltip,
                point.good,
            )
            for one in series
            for point in dict.fromkeys(one.points)
        ),
    )


def _x(axis: Axis, level: float) -> float:
    return round(_LEFT + axis.place(level) * (WIDTH - _LEFT - _RIGHT), 1)


def _y(axis: Axis, value: float) -> float:
    return round(HEIGHT - _BOTTOM - axis.place(value) * (HEIGHT - _TOP - _BOTTOM), 1)


def _lines(across: Axis, up: Axis, one: ChartSeries) -> Iterator[Polyline]:
    """A line from level to level; where repeats have predictions of their own, what they span.

    Of those there is no line: it would run up and down between repeats of one level.
    """
    spans: dict[float, list[float]] = {}
    for level, value in one.predicted:
        spans.setdefault(level, []).append(value)
    if all(len(values) == 1 for values in spans.values()):
        if one.predicted:
            yield Polyline(_polyline(across, up, one.predicted), one.number)
        return
    for level, values in spans.items():
        ends = sorted({min(values), max(values)})
        aside = _ASIDE * (1 + one.number)
        yield Polyline(_polyline(across, up, [(level, end) for end in ends], aside), one.number)


def _polyline(
    across: Axis, up: Axis, predicted: Sequence[tuple[float, float]], aside: float = 0.0
) -> str:
    places = [(_x(across, level) + aside, _y(up, value)) for level, value in predicted]
    if len(places) == 1:
        x, y = places[0]
        places = [(x - 8, y), (x + 8, y)]
    return " ".join(f"{x:g},{y:g}" for x, y in places)


def _description(title: str, series: Sequence[ChartSeries], x_label: str, unit: str) -> str:
    parts = []
    for one in series:
        if one.points:
            first, last = one.points[0], one.points[-1]
            parts.append(
                f"{one.label}: {label(first.value, unit)} at {first.level:g}, "
                f"{label(last.value, unit)} at {last.level:g}"
            )
    return f"{title}, against {x_label}. {'; '.join(parts)}."
