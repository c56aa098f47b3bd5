# SPDX-License-Identifier: Apache-2.0
"""Straight lines, medians and rates, each with an honest statement of how sure it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

# Two-sided, for every interval here: that of 95 % under a normal distribution.
_CONFIDENCE = 0.95
_NORMAL_QUANTILE = statistics.NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)

# Of two groups that can be put together in no more ways than this, all ways are tried.
_MOST_WAYS = 20_000

# So many resamples move the ends of an interval by less than the last digit anybody reads.
_RESAMPLES = 4000


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
    return FittedLine(fit.slope, fit.intercept, error, max(map(abs, residuals)), len(xs))


def fit_lines(
    frame: pd.DataFrame, x: str, y: str, by: Sequence[str]
) -> dict[tuple[Hashable, ...], FittedLine]:
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


def range_coverage(samples: int) -> float:
    """How often the range of so many samples holds the median of what they are drawn from.

    It does not if all lie on the same side of it: twice 2^-n.
    """
    return 1 - 2 * 0.5**samples


def median_interval(values: Sequence[float]) -> Interval:
    """The median with its percentile bootstrap interval (Efron 1979); the same on every run.

    With up to five values it is their range: the largest of five is the median of one resample in
    17, more than is cut off at that end. How sure that makes it, :func:`range_coverage` says; with
    one value it says nothing. Raises :class:`ValueError` for none.
    """
    numbers = np.asarray(values, dtype=float)
    if not numbers.size:
        raise ValueError("the median of nothing")
    chosen = np.random.default_rng(0).integers(numbers.size, size=(_RESAMPLES, numbers.size))
    medians = np.median(numbers[chosen], axis=1)
    tail = (1 - _CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail])
    return Interval(float(np.median(numbers)), float(low), float(high), int(numbers.size))


def chance(ones: Sequence[float], others: Sequence[float]) -> float:
    """How likely it is that two groups drawn alike come to lie as far apart as these, either way.

    Far apart is how often a number of one group exceeds one of the other, so that no outlier counts
    for more than its rank (Mann and Whitney 1947). Every way in which the numbers could have been
    dealt to the groups is tried, or so many at random, the same on every run. Raises
    :class:`ValueError` if a group is empty.
    """
    if not len(ones) or not len(others):
        raise ValueError("nothing to compare with")
    numbers = np.asarray([*ones, *others], dtype=float)
    below = (numbers[:, None] > numbers[None, :]) + 0.5 * (numbers[:, None] == numbers[None, :])
    size, total = len(ones), len(numbers)

    def distance(chosen: Iterable[int]) -> float:
        left = np.ones(total, dtype=bool)
        left[list(chosen)] = False
        return abs(float(below[~left][:, left].mean()) - 0.5)

    measured = distance(range(size))
    if math.comb(total, size) <= _MOST_WAYS:
        found = [distance(chosen) for chosen in combinations(range(total), size)]
        extra = 0
    else:
        # The way it was dealt is one of all, or the chance could come out as none.
        source, extra = np.random.default_rng(0), 1
        found = [distance(source.permutation(total)[:size].tolist()) for _ in range(_RESAMPLES)]
    as_far = sum(each >= measured - 1e-12 for each in found)
    return (as_far + extra) / (len(found) + extra)


def together(chances: Sequence[float]) -> list[float]:
    """What :func:`chance` becomes if so many are searched for one that is small (Holm 1979)."""
    adjusted = [0.0] * len(chances)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        highest = max(highest, min(1.0, (len(chances) - place) * chances[index]))
        adjusted[index] = highest
    return adjusted


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
