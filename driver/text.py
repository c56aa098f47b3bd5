# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them: on a terminal, in a report, in a message."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

UNKNOWN = "not recorded"


def value_text(value: object) -> str:
    """A value of a file for reading: words of a list in a row, yes and no, and whether it is there.

    None stands for what was not recorded.
    """
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {value_text(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return " ".join(map(value_text, value)) or "none"
    return str(value)


def quantity(value: float | None, unit: str) -> str:
    """A number for reading: thousands apart, whole if it is whole, with its unit.

    Whole up to the rounding of the arithmetic: a slope through whole numbers seldom is to the bit.
    """
    if value is None:
        return "none"
    whole = math.isfinite(value) and math.isclose(value, round(value), rel_tol=1e-12)
    text = f"{value:,.0f}" if whole else f"{value:,.2f}"
    return f"{text} {unit}".rstrip()


def signed(value: float, unit: str) -> str:
    """A change for reading, never without its sign."""
    return ("+" if value >= 0 else "-") + quantity(abs(value), unit)


def percent(fraction: float) -> str:
    """A relative change: ``+0.2 %``; from nothing to something there is none."""
    if math.isinf(fraction):
        return "from 0"
    digits = 0 if abs(fraction) >= 1 else 2 if abs(fraction) < 0.1 else 1
    return f"{100 * fraction:+,.{digits}f} %"


def counted(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``, ``3 patches``."""
    ending = "" if number == 1 else "es" if noun.endswith(("ch", "s", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def last_lines(text: str, count: int) -> str:
    """The last ``count`` lines of a text, without the end of the last one."""
    return "\n".join(text.splitlines()[-count:])
