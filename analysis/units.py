# SPDX-License-Identifier: Apache-2.0
"""Bytes for people: always binary units, always the same rounding."""

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
