# SPDX-License-Identifier: Apache-2.0
"""Where a value goes on an axis, which values label it, and how."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from driver.text import binary, decimal

# Values that span more than this are drawn by their logarithm: on a linear axis the smaller ones
# would all be zero to the eye.
_WIDE = 20.0
# About how many labels an axis of 300 pixels has room for.
_MOST_TICKS = 6


@dataclass(frozen=True)
class Axis:
    """A stretch of numbers, linear or logarithmic, and the ticks on it."""

    low: float
    high: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def place(self, value: float) -> float:
        """Where a value is: 0 at the axis' beginning, 1 at its end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def is_wide(values: Sequence[float]) -> bool:
    """Whether values span orders of magnitude, and have logarithms at all."""
    low, high = min(values), max(values)
    return low > 0 and high / low > _WIDE


def value_axis(values: Sequence[float], unit: str, *, logarithmic: bool | None = None) -> Axis:
    """The axis of what was measured: from zero, unless the values span orders of magnitude.

    ``logarithmic`` decides that for them, as for panels that are looked at together; values
    without a logarithm have a linear axis anyway.
    """
    low, high = min(values), max(values)
    if low > 0 and (is_wide(values) if logarithmic is None else logarithmic):
        return _logarithmic(low, high, 2 if unit == "B" else 10)
    return _linear(min(low, 0.0), max(high, 0.0), unit)


def level_axis(levels: Sequence[float]) -> Axis:
    """The axis of a swept factor: its levels are the ticks, with a little air at both ends."""
    found = sorted(set(levels))
    low, high = found[0], found[-1]
    if low > 0 and high / low > _WIDE / 2:
        air = (high / low) ** 0.05
        return Axis(low / air, high * air, True, _thinned(found, math.log))
    room = (high - low) * 0.05 or 1.0
    return Axis(low - room, high + room, False, _thinned(found, float))


def label(value: float, unit: str) -> str:
    """A number as a short label of an axis: ``64 KiB``, ``1.5 M``, ``0``."""
    return binary(value) if unit == "B" else decimal(value)


def _linear(low: float, high: float, unit: str) -> Axis:
    if low == high:
        high = low + 1.0
    step = _step((high - low) / _MOST_TICKS, 2 if unit == "B" else 10)
    first, last = math.floor(low / step), math.ceil(high / step)
    ticks = tuple(number * step for number in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], False, ticks)


def _step(least: float, base: int) -> float:
    """The next round number: a power of two for bytes, else 1, 2 or 5 times a power of ten."""
    if base == 2:
        return float(2 ** math.ceil(math.log2(least)))
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def _logarithmic(low: float, high: float, base: int) -> Axis:
    first = math.floor(math.log(low, base) + 1e-9)
    last = math.ceil(math.log(high, base) - 1e-9)
    if first == last:  # one value, a power itself
        first, last = first - 1, last + 1
    stride = max(1, math.ceil((last - first) / _MOST_TICKS))
    last += -(last - first) % stride
    ticks = tuple(float(base) ** power for power in range(first, last + 1, stride))
    return Axis(ticks[0], ticks[-1], True, ticks)


def _thinned(levels: Sequence[float], scale: Callable[[float], float]) -> tuple[float, ...]:
    """As many of the levels as can be labelled without touching, the last among them."""
    room = (scale(levels[-1]) - scale(levels[0])) / (2 * _MOST_TICKS)
    kept = [levels[-1]]
    for level in reversed(levels[:-1]):
        if scale(kept[-1]) - scale(level) >= room:
            kept.append(level)
    return tuple(reversed(kept))
