# SPDX-License-Identifier: Apache-2.0
"""The slope of a straight line through points, exact for exact numbers.

Counts are exact, so a slope through them is a fraction. Sums of floats round, and how depends on
the version of Python: the slope through (1, 10), (2, 20), (4, 40) is 10 under 3.11 and a little
less under 3.13.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """The slope of the least-squares line, rounded once, to the nearest float.

    Raises ValueError unless there are two different ``xs``, as many ``ys``, and all are finite.
    """
    points = [(Fraction(x), Fraction(y)) for x, y in zip(xs, ys, strict=True)]
    if len(set(xs)) < 2:
        raise ValueError("a slope needs two different values of x")
    middle = sum((x for x, _ in points), Fraction()) / len(points)
    spread = sum(((x - middle) ** 2 for x, _ in points), Fraction())
    return float(sum(((x - middle) * y for x, y in points), Fraction()) / spread)
