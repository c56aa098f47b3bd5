# SPDX-License-Identifier: Apache-2.0
"""Numbers as people read them: on a terminal, in a report, in a message."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_DECIMAL = ((1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))

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

    Whole up to the rounding of the arithmetic: a slope through whole numbers rarely is exact.
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


def extent(values: Collection[float], unit: str, *, whole: bool = False) -> str:
    """One number if all are equal, else ``LEAST to MOST``; nothing of none.

    ``whole`` rounds to whole numbers, as for a table with little room.
    """
    if not values:
        return ""
    low, high = (round(end) if whole else end for end in (min(values), max(values)))
    return quantity(high, unit) if low == high else f"{quantity(low, '')} to {quantity(high, unit)}"


def binary(value: float, digits: int = 3) -> str:
    """A number of bytes with ``digits`` significant digits: ``4 KiB``, ``2.50 MiB``, ``234 GiB``.

    Whole numbers of the chosen unit below 1,024 are printed without a fraction.
    """
    sign, size = ("-" if value < 0 else ""), abs(value)
    step = 0
    while size >= 1024 and step < len(_BINARY) - 1:
        size /= 1024
        step += 1
    if float(size).is_integer():
        return f"{sign}{size:,.0f} {_BINARY[step]}"
    whole = len(str(int(size)))
    return f"{sign}{size:,.{max(0, digits - whole)}f} {_BINARY[step]}"


def decimal(value: float, digits: int = 3) -> str:
    """A count with ``digits`` significant digits and a decimal prefix: ``5.92 k``, ``2.38 M``."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    for limit, prefix in _DECIMAL:
        if round(size) >= limit:
            return f"{sign}{_trimmed(size / limit, digits)}{prefix}"
    return f"{sign}{_trimmed(size, digits)}"


def _trimmed(size: float, digits: int) -> str:
    whole = len(str(int(size)))
    text = f"{size:,.{max(0, digits - whole)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def counted(number: int, noun: str) -> str:
    """``1 trial``, ``2 trials``, ``3 patches``."""
    ending = "" if number == 1 else "es" if noun.endswith(("ch", "s", "x")) else "s"
    return f"{number:,} {noun}{ending}"


def share(part: int, whole: int, noun: str) -> str:
    """``1 of 1 trial``, ``0 of 12 checks``."""
    return f"{part:,} of {counted(whole, noun)}"


def verb(number: int, one: str, several: str) -> str:
    """The form of a word that goes with a number: ``does`` with 1, ``do`` with any other."""
    return one if number == 1 else several


def enumerated(words: Sequence[str], most: int) -> str:
    """The first ``most`` words, and how many more there are: ``a, b and 3 more``."""
    left_out = len(words) - most
    return ", ".join(words[:most]) + (f" and {left_out:,} more" if left_out > 0 else "")


def as_written(value: object) -> str:
    """A value that a person wrote, in the notation of TOML and JSON: ``'1G'``, ``true``, ``[1]``.

    Text has the quotes that all messages have.
    """
    return repr(value) if isinstance(value, str) else json.dumps(value, default=repr)


def reason(error: BaseException, *, file: bool = False) -> str:
    """Why something failed, to follow a colon: the words of an exception without Python's.

    With ``file``, those of the operating system begin with the file that they are about.
    """
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if file and error.filename else error.strerror
    if isinstance(error, KeyError):
        return f"the key {error} is missing"
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8 text"
    if isinstance(error, TypeError):
        return "its keys are not those it should have"
    return str(error) or type(error).__name__


def not_utf8(path: object, error: UnicodeDecodeError) -> str:
    """The message for a file that is not the text it should be, with the line of the first byte."""
    line = error.object.count(b"\n", 0, error.start) + 1
    return f"{path}:{line}: the byte {error.object[error.start]:#04x} is not UTF-8 text"


def last_lines(text: str, count: int) -> str:
    """The last ``count`` lines of a text, without the end of the last one."""
    return "\n".join(text.splitlines()[-count:])
