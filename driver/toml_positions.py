# SPDX-License-Identifier: Apache-2.0
"""On which line of a TOML file each key stands.

``tomllib`` gives no positions, nor does tomlkit, so the text is read a second time. It is known to
be valid by then, which makes that short: strings and comments are tokens, and
punctuation distinguishes the rest.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

# A key of a TOML file: its words, and the indices of arrays.
KeyPath = tuple[str | int, ...]

# At most two quotation marks may stand before the three that end a string.
_TOKEN = re.compile(
    r"""
    (?P<skipped> [ \t\r]+ | \#[^\n]* )
  | (?P<newline> \n )
  | (?P<word> \"{3} (?:\\.|[^\\])*? \"{3,5} (?!\")
            | '{3} .*? '{3,5} (?!')
            | \" (?:\\.|[^\"\\\n])* \"
            | ' [^'\n]* '
            | [^\s\[\]{}=,.\#"']+ )
  | (?P<mark> [\[\]{}=,.] )
    """,
    re.VERBOSE | re.DOTALL,
)
_NEWLINE = "\n"


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line (from 1) of every key, table and item of an array in a valid TOML text.

    A table that is only mentioned on the way to another has the line of its first mention. Raises
    :class:`ValueError` for a text that is not valid TOML.
    """
    return _Reader(list(_tokens(text))).document()


def nearest(lines: Mapping[KeyPath, int], path: Sequence[str | int]) -> int | None:
    """The line of a path, or of the nearest path above it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


@dataclass(frozen=True)
class _Token:
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    """Words, punctuation and line ends; the last token is a line end."""
    line, place = 1, 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise ValueError(f"line {line} is not valid TOML")
        if found.lastgroup != "skipped":
            yield _Token(found[0], line)
        line += found[0].count("\n")
        place = found.end()
    yield _Token(_NEWLINE, line)


class _Reader:
    """Walks the tokens of one document."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._lines: dict[KeyPath, int] = {}
        self._counts: dict[KeyPath, int] = {}  # the last index of each array of tables

    def document(self) -> Mapping[KeyPath, int]:
        table: KeyPath = ()
        while self._at < len(self._tokens):
            if self._next() == _NEWLINE:
                self._at += 1
            elif self._next() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _next(self) -> str:
        if self._at >= len(self._tokens):
            raise ValueError("the text ends in the middle of a value")
        return self._tokens[self._at].text

    def _header(self) -> KeyPath:
        """``[a.b]`` or ``[[a.b]]``: the table that the following keys are in."""
        line = self._tokens[self._at].line
        brackets = 0
        while self._next() == "[":
            brackets, self._at = brackets + 1, self._at + 1
        *above, last = self._key()
        self._at += brackets
        table: KeyPath = ()
        for word in above:
            table = self._item((*table, word), line)
        table = (*table, last)
        if brackets == 1:
            self._lines.setdefault(table, line)
            return table
        self._counts[table] = self._counts.get(table, -1) + 1
        self._lines.setdefault(table, line)
        return self._item(table, line)

    def _item(self, table: KeyPath, line: int) -> KeyPath:
        """A table on the way to another; of an array of tables it is the latest item."""
        self._lines.setdefault(table, line)
        if table in self._counts:
            table = (*table, self._counts[table])
            self._lines.setdefault(table, line)
        return table

    def _pair(self, table: KeyPath) -> None:
        """``a.b = VALUE``"""
        line = self._tokens[self._at].line
        for word in self._key():
            table = (*table, word)
            self._lines.setdefault(table, line)
        self._at += 1  # the equals sign
        self._value(table)

    def _key(self) -> list[str]:
        words = [self._word()]
        while self._next() == ".":
            self._at += 1
            words.append(self._word())
        return words

    def _word(self) -> str:
        word = self._next()
        self._at += 1
        if not word.startswith(("'", '"')):
            return word
        (decoded,) = tomllib.loads(f"{word} = 0")
        return decoded

    def _value(self, path: KeyPath) -> None:
        if self._next() in ("[", "{"):
            self._container(path, array=self._next() == "[")
            return
        while self._next() not in (",", "]", "}", _NEWLINE):
            self._at += 1

    def _container(self, path: KeyPath, *, array: bool) -> None:
        """An array, whose items get indices, or an inline table."""
        self._at += 1
        index = 0
        while self._next() not in ("]", "}"):
            if self._next() in (",", _NEWLINE):
                self._at += 1
            elif array:
                item = (*path, index)
                self._lines.setdefault(item, self._tokens[self._at].line)
                self._value(item)
                index += 1
            else:
                self._pair(path)
        self._at += 1
