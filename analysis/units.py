# SPDX-License-Identifier: Apache-2.0
"""Bytes and large counts for people: always the same units, always the same rounding."""

from __future__ import annotations

_STEPS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def binary(value: float, digits: int = 3) -> str:
    """A number of bytes with ``digits`` significant digits: ``4 KiB``, ``2.00 MiB``, ``234 GiB``.

    Whole numbers of the chosen unit below 1,024 are printed without a fraction.
    """
    sign, size = ("-" if value < 0 else ""), abs(value)
    step = 0
    while size >= 1024 and step < len(_STEPS) - 1:
        size /= 1024
        step += 1
    if float(size).is_integer():
        return f"{sign}{size:,.0f} {_STEPS[step]}"
    whole = len(str(int(size)))
    return f"{sign}{size:,.{max(0, digits - whole)}f} {_STEPS[step]}"


_PREFIXES = ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


def short(value: float, digits: int = 3) -> str:
    """A count with ``digits`` significant digits and a decimal prefix: ``5.92 k``, ``2.38 M``."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    for limit, prefix in _PREFIXES:
        if round(size) >= limit:
            return f"{sign}{_plain(size / limit, digits)}{prefix}"
    return f"{sign}{_plain(size, digits)}"


def _plain(size: float, digits: int) -> str:
    whole = len(str(int(size)))
    text = f"{size:,.{max(0, digits - whole)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
