# SPDX-License-Identifier: Apache-2.0
"""Telling a change from noise: arithmetic done by hand, and intervals that keep their promise."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from driver.compare.difference import Basis, Change, Difference, compare
from driver.intervals import RepeatedValue, Stratum, change_interval


def held(
    first: list[float], second: list[float], *, repeatable: bool = False, countable: bool = True
) -> Difference:
    return compare(
        RepeatedValue.of(first),
        RepeatedValue.of(second),
        repeatable=repeatable,
        countable=countable,
        confidence=0.95,
    )


def test_counts_that_repeat_are_compared_exactly() -> None:
    same = held([7, 7], [7, 7])
    assert (same.basis, same.outcome, same.change) == (Basis.EXACT, Change.EQUAL, 0)
    grown = held([8, 8], [10, 10])
    assert (grown.basis, grown.outcome) == (Basis.EXACT, Change.CHANGED)
    assert (grown.change, grown.relative()) == (2, 0.25)
    assert grown.low is None


def test_one_page_of_a_terabyte_is_a_change() -> None:
    assert held([1 << 40] * 2, [(1 << 40) + 4096] * 2).outcome is Change.CHANGED


def test_a_count_taken_once_says_so() -> None:
    assert held([5], [5]).basis is Basis.SINGLE
    assert held([5], [6]).outcome is Change.CHANGED
    assert held([5], [6], repeatable=True).basis is Basis.EXACT


def test_a_time_is_never_exact() -> None:
    once = held([100.0], [250.0], countable=False)
    assert (once.basis, once.outcome) == (Basis.FEW, Change.UNDECIDED)
    assert held([100.0, 100.0], [100.0, 100.0], countable=False).outcome is Change.UNDECIDED


def test_a_count_that_varies_gets_an_interval() -> None:
    found = held([10, 12, 11, 13, 9], [20, 22, 21, 23, 19])
    assert (found.basis, found.outcome) == (Basis.INTERVAL, Change.CHANGED)
    assert (found.first, found.second, found.change) == (11, 21, 10)
    assert found.low is not None
    assert found.high is not None
    # By hand, with Student's t: s^2 = 2.5 in both, the difference has a standard error of
    # sqrt(2.5/5 + 2.5/5) = 1, and t(0.975, 8) = 2.306: 10 -+ 2.3. The bootstrap comes near it.
    assert found.low == pytest.approx(10 - 2.306, abs=0.25)
    assert found.high == pytest.approx(10 + 2.306, abs=0.25)


def test_no_change_is_seen_in_the_noise() -> None:
    found = held([10, 12, 11, 13, 9], [11, 10, 12, 9, 14])
    assert found.outcome is Change.UNSEEN


def test_two_values_are_too_few() -> None:
    assert held([10, 12], [30, 31]).outcome is Change.UNDECIDED


def test_a_number_that_began_to_vary() -> None:
    found = held([10, 10, 10], [20, 24, 22])
    assert (found.basis, found.outcome, found.change) == (Basis.INTERVAL, Change.CHANGED, 12)


def test_from_nothing_to_something() -> None:
    assert held([0, 0], [4096, 4096]).relative() == math.inf
    assert held([0, 0], [0, 0]).relative() == 0
    assert held([-4, -4], [-6, -6]).relative() == -0.5


def test_a_slope_is_a_weighted_sum() -> None:
    # Through (1, 10), (2, 20), (3, 30): x - 2 = -1, 0, 1; their squares add up to 2.
    weights = (Fraction(-1, 2), Fraction(0), Fraction(1, 2))
    line = RepeatedValue(
        tuple(Stratum(w, (y, y)) for w, y in zip(weights, (10.0, 20.0, 30.0), strict=True))
    )
    assert line.estimate == 10
    level = RepeatedValue(tuple(Stratum(w, (0.1, 0.1)) for w in weights))
    assert level.estimate == 0, "exactly, and not nearly"
    noisy = RepeatedValue(
        tuple(
            Stratum(w, (y - 1, y + 1, y)) for w, y in zip(weights, (10.0, 20.0, 30.0), strict=True)
        )
    )
    assert noisy.estimate == 10
    low, high = change_interval(level, noisy, 0.95)
    # Var = (1/4 + 1/4) * s^2/3 with s = 1: 0.408; t(0.975, 6) = 2.447: 10 -+ 1.0.
    assert low == pytest.approx(9.0, abs=0.15)
    assert high == pytest.approx(11.0, abs=0.15)


def test_the_same_runs_give_the_same_interval() -> None:
    samples = RepeatedValue.of([1.0, 5.0, 2.0]), RepeatedValue.of([3.0, 2.0, 9.0])
    assert change_interval(*samples, 0.95) == change_interval(*samples, 0.95)


def test_more_confidence_takes_more_room() -> None:
    samples = RepeatedValue.of([1.0, 5.0, 2.0, 4.0]), RepeatedValue.of([3.0, 2.0, 9.0, 4.0])
    low, high = change_interval(*samples, 0.8)
    lower, higher = change_interval(*samples, 0.99)
    assert lower < low < high < higher


@pytest.mark.parametrize("noise", ["symmetric", "skewed"])
@pytest.mark.parametrize("repeats", [3, 8])
def test_intervals_hold_the_truth_as_often_as_they_say(noise: str, repeats: int) -> None:
    random = np.random.default_rng(repeats)
    pairs = 200
    inside = 0
    for _ in range(pairs):
        draw = random.normal if noise == "symmetric" else random.lognormal
        a, b = (RepeatedValue.of(draw(0.0, 1.0, size=repeats).tolist()) for _ in range(2))
        low, high = change_interval(a, b, 0.95)
        inside += low <= 0 <= high
    # Of 200 pairs 95 % are 190, with a standard deviation of 3.1.
    assert 182 <= inside <= 198
