# SPDX-License-Identifier: Apache-2.0
"""Straight lines and spreads; how sure one is of a number is :mod:`driver.intervals`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import pandas as pd


@dataclass(frozen=True)
class FittedLine:
    """A least-squares line through ``points`` measured points.

    ``error`` is the standard error of the slope; it is None with two points, which a line always
    fits. ``worst`` is the largest distance of a point from the line, in the unit of y.
    """

    slope: float
    intercept: float
    error: float | None
    worst: float
    points: int

    @property
    def exact(self) -> bool:
        """Whether every point lies on the line, up to the rounding of the arithmetic."""
        return self.worst <= 1e-9 * max(1.0, abs(self.slope), abs(self.intercept))

    def at(self, x: float) -> float:
        return self.intercept + self.slope * x


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> FittedLine:
    """Raises :class:`ValueError` unless there are two different values of x.

    Exact for exact numbers, and rounded at the end. ``scipy.stats.linregress`` takes the error from
    the correlation, whose rounding gives a line through exact counts an error of 1e-8 of its slope.
    """
    if len(set(xs)) < 2:
        raise ValueError(f"a slope needs two different x values, got {sorted(set(xs))}")
    points = [(Fraction(x), Fraction(y)) for x, y in zip(xs, ys, strict=True)]
    middle, height = (sum(column, Fraction()) / len(points) for column in zip(*points, strict=True))
    spread = sum(((x - middle) ** 2 for x, _ in points), Fraction())
    slope = sum(((x - middle) * y for x, y in points), Fraction()) / spread
    intercept = height - slope * middle
    residuals = [y - intercept - slope * x for x, y in points]
    error = None
    if len(points) > 2:
        squares = sum((r * r for r in residuals), Fraction())
        error = math.sqrt(squares / (len(points) - 2) / spread)
    worst = max(map(abs, residuals))
    return FittedLine(float(slope), float(intercept), error, float(worst), len(points))


def fit_lines(
    frame: pd.DataFrame, x: str, y: str, by: Sequence[str]
) -> dict[tuple[Hashable, ...], FittedLine]:
    """One line per combination of the columns in ``by``."""
    return {
        tuple(key): fit_line(list(rows[x].astype(float)), list(rows[y].astype(float)))
        for key, rows in frame.groupby(list(by), sort=False)
    }


@dataclass(frozen=True)
class Spread:
    """The median of samples that differ on purpose, and the least and the most of them.

    An interval around a median says how sure one is of it, which takes samples drawn at random.
    """

    median: float
    least: float
    most: float
    samples: int


def spread(values: Sequence[float]) -> Spread:
    """Raises :class:`ValueError` for none."""
    if not len(values):
        raise ValueError("the spread of nothing")
    return Spread(statistics.median(values), min(values), max(values), len(values))
