# SPDX-License-Identifier: Apache-2.0
"""Straight lines, medians and rates, each with an honest statement of how sure it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

# Two-sided, for every interval here: that of 95 % under a normal distribution.
_CONFIDENCE = 0.95
_NORMAL_QUANTILE = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)

# So many resamples move the ends of an interval by less than the last digit anybody reads.
_RESAMPLES = 4000


@dataclass(frozen=True)
class Line:
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


def fit_line(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """Raises :class:`ValueError` unless there are two different values of x."""
    if len(set(xs)) < 2:
        raise ValueError(f"a slope needs two different x values, got {sorted(set(xs))}")
    fit = statistics.linear_regression(xs, ys)
    residuals = [y - fit.intercept - fit.slope * x for x, y in zip(xs, ys, strict=True)]
    middle = statistics.fmean(xs)
    spread = math.fsum((x - middle) ** 2 for x in xs)
    error = None
    if len(xs) > 2:
        error = math.sqrt(math.fsum(r * r for r in residuals) / (len(xs) - 2) / spread)
    return Line(fit.slope, fit.intercept, error, max(map(abs, residuals)), len(xs))


def fit_lines(
    frame: pd.DataFrame, x: str, y: str, by: Sequence[str]
) -> dict[tuple[Hashable, ...], Line]:
    """One line per combination of the columns in ``by``."""
    return {
        tuple(key): fit_line(list(rows[x].astype(float)), list(rows[y].astype(float)))
        for key, rows in frame.groupby(list(by), sort=False)
    }


@dataclass(frozen=True)
class Interval:
    """An estimate from ``samples`` numbers, and the 95 % interval around it."""

    estimate: float
    low: float
    high: float
    samples: int


def median_interval(values: Sequence[float]) -> Interval:
    """The median with its percentile bootstrap interval (Efron 1979); the same on every run.

    With one value the interval is that value: it says nothing then. Raises :class:`ValueError` for
    none.
    """
    numbers = np.asarray(values, dtype=float)
    if not numbers.size:
        raise ValueError("the median of nothing")
    chosen = np.random.default_rng(0).integers(numbers.size, size=(_RESAMPLES, numbers.size))
    medians = np.median(numbers[chosen], axis=1)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(float(np.median(numbers)), float(low), float(high), int(numbers.size))


def rate_interval(successes: int, trials: int) -> Interval:
    """The rate of successes with its score interval (Wilson 1927), from 0 to 1.

    Unlike the textbook's it is not a point when nothing or everything succeeds. Raises
    :class:`ValueError` for no trials.
    """
    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    rate, z = successes / trials, _NORMAL_QUANTILE
    spread = z * math.sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    middle, scale = rate + z * z / (2 * trials), 1 + z * z / trials
    low, high = (middle - spread) / scale, (middle + spread) / scale
    return Interval(rate, max(0.0, low), min(1.0, high), trials)
