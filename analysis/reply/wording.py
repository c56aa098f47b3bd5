# SPDX-License-Identifier: Apache-2.0
"""Numbers in sentences: how many, how much more, which of two words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from driver.text import binary, decimal


def count(value: float, digits: int = 0) -> str:
    """Thousands apart, and a real minus: ``2,376,585``."""
    return f"{value:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def against(value: float, other: float) -> str:
    """A count compared with another: ``411x fewer``, ``1.3 % more``, ``the same``."""
    if not other or not value:
        return "the same" if value == other else f"{value - other:+,.0f}"
    ratio = value / other
    if ratio >= 3 or ratio <= 1 / 3:
        times = max(ratio, 1 / ratio)
        shown = f"{times:,.0f}" if times >= 100 else f"{times:.3g}"
        return f"{shown}x {'as many' if ratio > 1 else 'fewer'}"
    percent = 100 * abs(ratio - 1)
    if percent < 0.05:
        return "the same"
    return f"{percent:.1f} % {'more' if ratio > 1 else 'fewer'}"


def signed(value: float) -> str:
    """A difference: ``+61``, ``-974`` with a real minus, ``0``."""
    rounded = round(value)
    return f"{rounded:+,}".replace("-", "\N{MINUS SIGN}") if rounded else "0"


def listed(words: list[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


FILTERS: dict[str, Callable[..., Any]] = {
    "count": count,
    "against": against,
    "signed": signed,
    "listed": listed,
    "bytes": binary,
    "short": decimal,
}
