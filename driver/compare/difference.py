# SPDX-License-Identifier: Apache-2.0
"""Whether two samples of a number differ, and by how much.

Numbers that repeat are compared as they are. For numbers that do not, the difference of the
means gets a bootstrap confidence interval: each sample is resampled many times, and the interval
holds the middle of the differences found. Two corrections make it honest for few repeats. Draws
of n - 1 values instead of n give the resampled mean the variance s^2/n of a mean; and the interval
is stretched about its centre by the quantile of Student's t over that of the normal distribution,
as if it had been made from the normal one. From 3 repeats on, intervals of 95 % then hold the truth
about that often, for symmetric and for skewed noise: ``tests/unit/test_difference.py`` counts.

The mean, and not the median: it is what many faults cost in sum. A rare slow one widens the
interval, which then says that it does not know, instead of being left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from statistics import NormalDist, fmean

import numpy as np
import numpy.typing as npt

# Fewer values say too little about their own spread.
LEAST_REPEATS = 3
CONFIDENCE = 0.95

_RESAMPLES = 10_000
# Always the same draws, so that the same two runs always give the same interval.
_SEED = 20190214


class Basis(StrEnum):
    """What a comparison rests on."""

    EXACT = "exact"  # numbers that repeat: equal or not
    SINGLE = "single"  # numbers that were taken once: they may repeat, or not
    INTERVAL = "interval"  # numbers that vary: a confidence interval
    FEW = "few"  # numbers that vary, too few of them for an interval


class Change(StrEnum):
    """What became of a number between the first run and the second."""

    EQUAL = "equal"
    CHANGED = "changed"
    UNSEEN = "no change seen"  # the interval holds zero
    UNDECIDED = "undecided"  # too few repeats to tell a change from noise


@dataclass(frozen=True)
class Stratum:
    """Repeats of one trial, and the weight of their mean in what is estimated.

    The weight is exact, so that the slope through level points is zero and not nearly zero.
    """

    weight: Fraction
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Of equal values it is that value, to the last bit."""
        return self.values[0] if self.steady else fmean(self.values)

    @property
    def steady(self) -> bool:
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
        return float(sum(stratum.weight * Fraction(stratum.mean) for stratum in self.strata))

    @property
    def steady(self) -> bool:
        """Whether the repeats agree (a number taken once agrees with itself)."""
        return all(stratum.steady for stratum in self.strata)

    @property
    def repeats(self) -> int:
        """The fewest values any of its means has."""
        return min(len(stratum.values) for stratum in self.strata)


@dataclass(frozen=True)
class Difference:
    """A number in the first run, in the second, and what became of it.

    ``low`` and ``high`` bound the change (second less first) where there is an interval.
    """

    first: float
    second: float
    basis: Basis
    outcome: Change
    low: float | None = None
    high: float | None = None

    @property
    def change(self) -> float:
        return self.second - self.first

    def relative(self, change: float | None = None) -> float:
        """A change (default: the measured one) as a fraction of the first run's number.

        Infinite where something came from nothing.
        """
        change = self.change if change is None else change
        if change == 0:
            return 0.0
        return change / abs(self.first) if self.first else math.copysign(math.inf, change)


def compare(
    first: RepeatedValue,
    second: RepeatedValue,
    *,
    repeatable: bool,
    countable: bool,
    confidence: float,
) -> Difference:
    """Hold the second sample against the first.

    ``repeatable`` says that one value is as good as many (an exact run); ``countable`` that the
    number is a count, which may be deterministic, and not a time, which never is.
    """
    a, b = first.estimate, second.estimate
    repeats = min(first.repeats, second.repeats)
    if first.steady and second.steady and (countable or repeatable):
        taken_once = repeats == 1 and not repeatable
        same = math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
        return Difference(
            a,
            a if same else b,  # what differs by rounding alone does not differ
            Basis.SINGLE if taken_once else Basis.EXACT,
            Change.EQUAL if same else Change.CHANGED,
        )
    if repeats < LEAST_REPEATS:
        return Difference(a, b, Basis.FEW, Change.UNDECIDED)
    low, high = interval(first, second, confidence)
    outcome = Change.UNSEEN if low <= 0 <= high else Change.CHANGED
    return Difference(a, b, Basis.INTERVAL, outcome, low, high)


def interval(first: RepeatedValue, second: RepeatedValue, confidence: float) -> tuple[float, float]:
    """The bounds of the second estimate less the first; see the module's text.

    A sample whose values agree has no spread and needs no resampling.
    """
    random = np.random.default_rng(_SEED)
    changes = _resampled(second, random) - _resampled(first, random)
    middle = second.estimate - first.estimate
    tail = (1 - confidence) / 2
    bounds = np.quantile(changes, [tail, 1 - tail])
    freedom = sum(
        len(stratum.values) - 1
        for sample in (first, second)
        for stratum in sample.strata
        if not stratum.steady
    )
    stretch = student_quantile(1 - tail, max(freedom, 1)) / NormalDist().inv_cdf(1 - tail)
    low, high = (middle + (float(bound) - middle) * stretch for bound in bounds)
    return low, high


def student_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t distribution, by its expansion about the normal one's.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5: four digits right from 4
    degrees of freedom on, two from 2.
    """
    z = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom**power for power, term in enumerate(terms, start=1))


def _resampled(sample: RepeatedValue, random: np.random.Generator) -> npt.NDArray[np.float64]:
    """What the estimate would be if the repeats had come out otherwise, many times."""
    total = np.zeros(_RESAMPLES)
    for stratum in sample.strata:
        if stratum.steady:
            total += float(stratum.weight) * stratum.mean
            continue
        values = np.asarray(stratum.values, dtype=np.float64)
        picks = random.integers(len(values), size=(_RESAMPLES, len(values) - 1))
        total += float(stratum.weight) * values[picks].mean(axis=1)
    return total
