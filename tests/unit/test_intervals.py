# SPDX-License-Identifier: Apache-2.0
"""Intervals: against what is known in closed form, and by how often they hold the truth."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from analysis.stats import spread
from driver.intervals import (
    RepeatedValue,
    change_interval,
    holm,
    median_interval,
    range_coverage,
    rank_test,
    rate_interval,
    student_quantile,
)


# Tables of Student's t. An expansion about the normal quantile gives 26.3 and 9.514 for the first
# two: intervals 17 % and 4 % too narrow.
@pytest.mark.parametrize(
    ("confidence", "freedom", "quantile"),
    [
        (0.999, 2, 31.599),
        (0.99, 2, 9.925),
        (0.95, 1, 12.706),
        (0.95, 2, 4.303),
        (0.95, 3, 3.182),
        (0.95, 8, 2.306),
        (0.95, 30, 2.042),
        (0.5, 4, 0.741),
    ],
)
def test_student_quantiles_are_those_of_the_tables(
    confidence: float, freedom: int, quantile: float
) -> None:
    assert student_quantile((1 + confidence) / 2, freedom) == pytest.approx(quantile, abs=5e-4)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99, 0.999])
def test_an_interval_of_a_change_is_as_wide_as_student_says(confidence: float) -> None:
    """Against Student's t by hand: three values and a constant leave 2 degrees of freedom."""
    values, constant = (9.0, 10.0, 11.0), (5.0, 5.0, 5.0)
    low, high = change_interval(RepeatedValue.of(constant), RepeatedValue.of(values), confidence)
    assert low + high == pytest.approx(10, abs=0.2)
    # Of three values two are drawn: the mean is 9, 9.5, 10, 10.5 or 11, in 1, 2, 3, 2, 1 of 9
    # cases. What bounds the middle of them is a step function, and stretched by t over z.
    upper = (1 + confidence) / 2
    bound = 11 if upper > 8 / 9 else 10.5 if upper > 6 / 9 else 10
    stretch = student_quantile(upper, 2) / NormalDist().inv_cdf(upper)
    assert high == pytest.approx(5 + (bound - 10) * stretch, abs=1e-9)


def test_an_interval_repeats_and_says_how_many_it_is_made_of() -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0]
    found = median_interval(values)
    assert found == median_interval(list(values))
    assert (found.estimate, found.samples) == (3.0, 5)
    assert 1 <= found.low <= 3 <= found.high <= 5


def test_what_never_varies_has_no_width() -> None:
    found = median_interval([7.0] * 5)
    assert (found.low, found.estimate, found.high) == (7, 7, 7)


def test_nine_of_ten_intervals_hold_the_true_median() -> None:
    """95 % is the promise; the percentile bootstrap of a median keeps it roughly."""
    chance = np.random.default_rng(1)
    held = sum(
        found.low <= np.log(2) <= found.high
        for found in (median_interval(list(chance.exponential(size=25))) for _ in range(100))
    )
    assert held >= 90


def test_the_interval_of_five_is_their_range_and_how_often_that_holds_the_median() -> None:
    values = [3.0, 1.0, 4.0, 1.5, 9.0]
    found = median_interval(values)
    assert (found.low, found.high) == (1, 9)
    chance = np.random.default_rng(2)
    drawn = chance.exponential(size=(20_000, len(values)))
    held = ((drawn.min(axis=1) <= np.log(2)) & (np.log(2) <= drawn.max(axis=1))).mean()
    assert held == pytest.approx(range_coverage(len(values)), abs=0.01)
    assert range_coverage(len(values)) == 0.9375
    assert range_coverage(1) == 0


def test_a_spread_is_what_was_measured_and_no_more() -> None:
    found = spread([3.0, 1.0, 4.0, 1.5])
    assert (found.least, found.median, found.most, found.samples) == (1, 2.25, 4, 4)


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Wilson's bounds by hand, z = 1.95996: with none or all of n the other bound is
        # z^2 / (n + z^2) from the end.
        (0, 200, 0, 3.8415 / 203.8415),
        (200, 200, 200 / 203.8415, 1),
        (5, 10, 0.2366, 0.7634),
    ],
)
def test_the_interval_of_a_rate(successes: int, trials: int, low: float, high: float) -> None:
    found = rate_interval(successes, trials)
    assert found.estimate == successes / trials
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-4)


@pytest.mark.parametrize(
    ("ones", "others", "expected"),
    [
        # All six numbers can be dealt in 20 ways, of which two are as far apart as these.
        ([1, 2, 3], [4, 5, 6], 2 / 20),
        ([4, 5, 600], [1, 2, 3], 2 / 20),
        ([1, 4], [2, 3], 1),
        ([7, 7], [7, 7, 7], 1),
        # 5 of 15: 3,003 ways.
        ([11, 12, 13, 14, 15], list(range(1, 11)), 2 / 3003),
    ],
)
def test_how_likely_a_difference_is_by_chance(
    ones: list[float], others: list[float], expected: float
) -> None:
    assert rank_test(ones, others) == pytest.approx(expected)
    assert rank_test(others, ones) == pytest.approx(expected)


def test_where_not_all_ways_can_be_tried_the_chance_is_nearly_that_of_the_normal() -> None:
    ones, others = list(range(0, 40, 2)), list(range(13, 53, 2))
    exceeding = np.mean([[one > other for other in others] for one in ones])
    z = (abs(exceeding - 0.5) * 400) / np.sqrt(400 * 41 / 12)
    assert rank_test(ones, others) == pytest.approx(math.erfc(z / math.sqrt(2)), abs=0.01)


def test_one_in_twenty_of_nothing_is_called_a_difference() -> None:
    source = np.random.default_rng(3)
    called = sum(
        rank_test(list(source.random(4)), list(source.random(6))) < 0.05 for _ in range(400)
    )
    assert called <= 32


def test_many_looks_need_a_rarer_difference() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([]) == []


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="median of nothing"):
        median_interval([])
    with pytest.raises(ValueError, match="spread of nothing"):
        spread([])
    with pytest.raises(ValueError, match="nothing to compare"):
        rank_test([], [1.0])
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        rate_interval(3, 2)
    with pytest.raises(ValueError, match="0 successes of 0 trials"):
        rate_interval(0, 0)
