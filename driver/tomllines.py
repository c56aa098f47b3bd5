# SPDX-License-Identifier: Apache-2.0
"""On which line of a TOML text a key stands: ``tomllib`` does not say."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Path = tuple[str | int, ...]

_WORD = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_WORD}(?:\s*\.\s*{_WORD})*"
_TABLE = re.compile(rf"^\s*\[\s*({_DOTTED})\s*\]")
_ARRAY = re.compile(rf"^\s*\[\[\s*({_DOTTED})\s*\]\]")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r'"""|' + "'''")


def key_lines(text: str) -> Mapping[Path, int]:
    """The line (from 1) of every key and table header, by its path; array items by index.

    Keys of inline tables are not found by themselves: look up the nearest path above them.
    """
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    inside = False
    for number, line in enumerate(text.splitlines(), start=1):
        if not inside:
            if found := _ARRAY.match(line):
                name = _resolve(_split(found[1]), counts)
                counts[name] = counts.get(name, -1) + 1
                table = (*name, counts[name])
                lines.setdefault(name, number)
                lines[table] = number
            elif found := _TABLE.match(line):
                table = _resolve(_split(found[1]), counts)
                lines[table] = number
            elif found := _KEY.match(line):
                lines.setdefault((*table, *_split(found[1])), number)
        if len(_MULTILINE.findall(line)) % 2:
            inside = not inside
    return lines


def nearest(lines: Mapping[Path, int], path: Sequence[str | int]) -> int | None:
    """The line of a path, or of the nearest path above it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


def _split(dotted: str) -> Path:
    return tuple(word.strip("\"'") for word in re.findall(_WORD, dotted))


def _resolve(name: Path, counts: Mapping[Path, int]) -> Path:
    """A header below an array of tables means the array's latest item."""
    resolved: Path = ()
    for word in name[:-1]:
        resolved = (*resolved, word)
        if resolved in counts:
            resolved = (*resolved, counts[resolved])
    return (*resolved, name[-1])
