# SPDX-License-Identifier: Apache-2.0
"""Confidence intervals and tests: the only place in which a number gets an uncertainty.

`driver compare` and the notebooks use the same ones. scipy knows the distributions; what is done
here is what it does not offer: a bootstrap for weighted sums of few values, and a rank test with
ties. scipy is imported where it is used, since ``scipy.stats`` takes 0.8 s to load.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist, fmean

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95

# So many resamples move the ends of an interval by less than the last digit anybody reads.
_RESAMPLES_OF_A_MEDIAN = 4000
_RESAMPLES_OF_A_MEAN = 10_000
# The same draws every time, so that the same numbers always give the same interval.
_SEED_OF_A_MEAN = 20190214

# Two groups that can be dealt in no more ways than this are compared with all of them, others
# with so many at random.
_MOST_PERMUTATIONS = 20_000
_RANDOM_PERMUTATIONS = 4000


@dataclass(frozen=True)
class Interval:
    """An estimate from ``samples`` numbers, and the 95 % interval around it."""

    estimate: float
    low: float
    high: float
    samples: int


@dataclass(frozen=True)
class Stratum:
    """Repeats of one trial, and the weight of their mean in what is estimated.

    The weight is exact, so that the slope through level points is zero and not nearly zero.
    """

    weight: Fraction
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean; of equal values it is exactly that value."""
        return self.values[0] if self.steady else fmean(self.values)

    @property
    def steady(self) -> bool:
        """Whether all repeats gave the same value."""
        return len(set(self.values)) == 1


@dataclass(frozen=True)
class RepeatedValue:
    """What estimates one number: a weighted sum of means.

    A metric is one stratum of weight 1; a slope is one stratum for each point of its line.
    """

    strata: tuple[Stratum, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> RepeatedValue:
        """Repeats of one and the same number."""
        return cls((Stratum(Fraction(1), tuple(values)),))

    @property
    def estimate(self) -> float:
        """The weighted sum of the means."""
        return float(sum(stratum.weight * Fraction(stratum.mean) for stratum in self.strata))

    @property
    def steady(self) -> bool:
        """Whether the repeats agree (a number taken once agrees with itself)."""
        return all(stratum.steady for stratum in self.strata)

    @property
    def repeats(self) -> int:
        """The fewest values any of its means has."""
        return min(len(stratum.values) for stratum in self.strata)


def change_interval(
    first: RepeatedValue, second: RepeatedValue, confidence: float
) -> tuple[float, float]:
    """The bounds of the second estimate less the first: a bootstrap interval, corrected twice.

    Each sample is resampled many times, and the interval holds the middle of the differences
    found. Two corrections make it honest for few repeats. Draws of n - 1 values instead of n give
    the resampled mean the variance s^2/n of a mean; and the interval is stretched about its centre
    by the quantile of Student's t over that of the normal distribution, as if it had been made
    from the normal one. From 3 repeats on, intervals of 95 % then hold the truth about that often,
    for symmetric and for skewed noise: ``tests/unit/test_difference.py`` counts.

    A sample whose values agree has no spread and needs no resampling.
    """
    random = np.random.default_rng(_SEED_OF_A_MEAN)
    changes = _resampled_estimates(second, random) - _resampled_estimates(first, random)
    middle = second.estimate - first.estimate
    upper = (1 + confidence) / 2
    freedom = sum(
        len(stratum.values) - 1
        for sample in (first, second)
        for stratum in sample.strata
        if not stratum.steady
    )
    stretch = student_quantile(upper, max(freedom, 1)) / NormalDist().inv_cdf(upper)
    low, high = (middle + (bound - middle) * stretch for bound in _central(changes, confidence))
    return low, high


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution with ``freedom`` degrees of freedom."""
    from scipy.special import stdtrit  # noqa: PLC0415  (0.2 s, and few comparisons need it)

    return float(stdtrit(freedom, probability))


def median_interval(values: Sequence[float]) -> Interval:
    """The median with its percentile bootstrap interval (Efron 1979); the same on every run.

    With up to five values it is their range: the largest of five is the median of one resample in
    17, more than is cut off at that end. How sure that makes it, :func:`range_coverage` says; with
    one value it says nothing. Raises :class:`ValueError` for none.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        raise ValueError("the median of nothing")
    random = np.random.default_rng(0)
    medians = np.median(_resamples(numbers, random, _RESAMPLES_OF_A_MEDIAN, numbers.size), axis=1)
    return Interval(float(np.median(numbers)), *_central(medians, CONFIDENCE), int(numbers.size))


def range_coverage(samples: int) -> float:
    """How often the range of so many samples holds the median of what they are drawn from.

    It does not if all lie on the same side of it: twice 2^-n.
    """
    return 1 - 2 * 0.5**samples


def rate_interval(successes: int, trials: int) -> Interval:
    """The rate of successes with its score interval (Wilson 1927), from 0 to 1.

    Unlike the textbook's it is not a point when nothing or everything succeeds. Raises
    :class:`ValueError` for no trials.
    """
    from scipy.stats import binomtest  # noqa: PLC0415

    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"{successes} successes of {trials} trials")
    bounds = binomtest(successes, trials).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(successes / trials, float(bounds.low), float(bounds.high), trials)


def rank_test(ones: Sequence[float], others: Sequence[float]) -> float:
    """The p-value of a two-sided permutation test of whether two groups are drawn alike.

    The statistic is how often a number of one group exceeds one of the other, so that no outlier
    counts for more than its rank (Mann and Whitney 1947); a tie counts half. Every way in which
    the numbers could have been dealt to the groups is tried, or so many at random, the same on
    every run. Raises :class:`ValueError` if a group is empty.
    """
    from scipy.stats import permutation_test  # noqa: PLC0415

    if not len(ones) or not len(others):
        raise ValueError("nothing to compare with")
    ways = math.comb(len(ones) + len(others), len(ones))
    # Ranks, and not the numbers themselves: their sum is the statistic but for a constant.
    ranks = _mid_ranks([*ones, *others])
    expected = len(ones) * (len(ranks) + 1) / 2

    def distance(
        chosen: npt.NDArray[np.float64], _rest: npt.NDArray[np.float64], axis: int
    ) -> npt.NDArray[np.float64]:
        distances: npt.NDArray[np.float64] = np.abs(chosen.sum(axis=axis) - expected)
        return distances

    found = permutation_test(
        (ranks[: len(ones)], ranks[len(ones) :]),
        distance,
        alternative="greater",
        vectorized=True,
        n_resamples=ways if ways <= _MOST_PERMUTATIONS else _RANDOM_PERMUTATIONS,
        rng=np.random.default_rng(0),
    )
    return float(found.pvalue)


def holm(chances: Sequence[float]) -> list[float]:
    """The p-values of several tests, adjusted for their number (Holm 1979), in the same order."""
    adjusted = [0.0] * len(chances)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(chances)), key=lambda each: chances[each])):
        highest = max(highest, min(1.0, (len(chances) - place) * chances[index]))
        adjusted[index] = highest
    return adjusted


def _mid_ranks(numbers: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks from 1; equal numbers share the mean of theirs."""
    from scipy.stats import rankdata  # noqa: PLC0415

    return np.asarray(rankdata(numbers), dtype=np.float64)


def _resampled_estimates(
    sample: RepeatedValue, random: np.random.Generator
) -> npt.NDArray[np.float64]:
    """What the estimate would be if the repeats had come out otherwise, many times."""
    total = np.zeros(_RESAMPLES_OF_A_MEAN)
    for stratum in sample.strata:
        if stratum.steady:
            total += float(stratum.weight) * stratum.mean
            continue
        values = np.asarray(stratum.values, dtype=np.float64)
        drawn = _resamples(values, random, _RESAMPLES_OF_A_MEAN, len(values) - 1)
        total += float(stratum.weight) * drawn.mean(axis=1)
    return total


def _resamples(
    values: npt.NDArray[np.float64], random: np.random.Generator, count: int, size: int
) -> npt.NDArray[np.float64]:
    """``count`` rows of ``size`` values each, drawn with replacement."""
    drawn: npt.NDArray[np.float64] = values[random.integers(len(values), size=(count, size))]
    return drawn


def _central(estimates: npt.NDArray[np.float64], confidence: float) -> tuple[float, float]:
    """What bounds the middle of resampled estimates."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail])
    return float(low), float(high)
