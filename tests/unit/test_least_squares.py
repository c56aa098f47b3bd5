# SPDX-License-Identifier: Apache-2.0
"""A slope through exact counts is exact, under every version of Python."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from analysis.stats import fit_line
from driver.least_squares import slope

COUNTS = st.integers(-(10**12), 10**12)


@given(st.lists(COUNTS, min_size=2, max_size=8), COUNTS, COUNTS)
def test_points_on_a_line_give_its_slope(xs: list[int], steep: int, start: int) -> None:
    assume(len(set(xs)) > 1)
    ys = [Fraction(start + steep * x) for x in xs]
    assert slope(xs, ys) == steep  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("xs", "ys", "expected"),
    [
        ([1, 2, 4], [10, 20, 40], 10),  # not so in floating point, on Python 3.13
        ([0.1, 0.2, 0.3], [1, 1, 1], 0),
        ([1, 2, 3], [1, 2, 2], 0.5),
        ([1e16, 1e16 + 2], [0, 2], 1),
    ],
)
def test_values(xs: list[float], ys: list[float], expected: float) -> None:
    assert slope(xs, ys) == expected
    fitted = fit_line(xs, ys)
    assert fitted.slope == expected


def test_a_line_through_counts_has_no_error() -> None:
    fitted = fit_line([3, 7, 11, 1000], [30, 70, 110, 10000])
    assert (fitted.slope, fitted.intercept, fitted.worst) == (10, 0, 0)


@pytest.mark.parametrize("xs", [[], [1], [2, 2]])
def test_a_slope_needs_two_points(xs: list[float]) -> None:
    with pytest.raises(ValueError, match="two different"):
        slope(xs, xs)
