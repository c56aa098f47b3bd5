# SPDX-License-Identifier: Apache-2.0
"""Intervals: against what is known in closed form, and by how often they hold the truth."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.stats import median_interval, rate_interval


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


def test_nothing_has_no_interval() -> None:
    with pytest.raises(ValueError, match="median of nothing"):
        median_interval([])
    with pytest.raises(ValueError, match="3 successes of 2 trials"):
        rate_interval(3, 2)
    with pytest.raises(ValueError, match="0 successes of 0 trials"):
        rate_interval(0, 0)
