# SPDX-License-Identifier: Apache-2.0
"""Whether two samples of a number differ, and by how much.

Numbers that repeat are compared as they are. For numbers that do not, the difference of the
means gets a bootstrap confidence interval (:func:`driver.intervals.change_interval`).

The mean, and not the median: it is what many faults cost in sum. A rare slow one widens the
interval, which then says that it does not know, instead of being left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from driver.intervals import RepeatedValue, change_interval

# Fewer values say too little about their own spread.
LEAST_REPEATS = 3


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
class Difference:
    """A number in the first run, in the second, and its change.

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
    """Compare the second sample with the first.

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
    low, high = change_interval(first, second, confidence)
    outcome = Change.UNSEEN if low <= 0 <= high else Change.CHANGED
    return Difference(a, b, Basis.INTERVAL, outcome, low, high)
