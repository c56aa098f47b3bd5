# SPDX-License-Identifier: Apache-2.0
"""A TOML file that a person wrote, held against its model: what is wrong with it, and where."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from driver.errors import UserError
from driver.suggestion import did_you_mean

SYNTAX = "Mend the line; https://toml.io describes the format."
_KEYS = "docs/reference/files.md says what each key may hold."
# What pydantic says, in the words of the reference; it knows no list, as models hold tuples.
_WORDS = (
    (r"^Value error, ", ""),
    (r"^Input should be a valid (tuple|list)$", "it should be a list"),
    (r"^Input should be a valid dictionary.*$", "it should be a table"),
    (r"^Input should be a valid string$|^Input is not a valid path.*$", "it should be text"),
    (r"^Input should be a valid boolean.*$", "it should be true or false"),
    (r"^Input should be a valid integer.*$", "it should be an integer"),
    (r"^Input should be a (valid|finite) number.*$", "it should be a number"),
    (r"^Input should be ", "it should be "),
)
_Model = TypeVar("_Model", bound=BaseModel)
# A key of a TOML file, as its words and indices.
KeyPath = tuple[str | int, ...]
_KEY_WORD = r"""(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')"""
_DOTTED = rf"{_KEY_WORD}(?:\s*\.\s*{_KEY_WORD})*"
_TABLE = re.compile(rf"^\s*\[\s*({_DOTTED})\s*\]")
_ARRAY = re.compile(rf"^\s*\[\[\s*({_DOTTED})\s*\]\]")
_KEY = re.compile(rf"^\s*({_DOTTED})\s*=")
_MULTILINE = re.compile(r'"""|' + "'''")


def read(path: Path, model: type[_Model]) -> _Model:
    """The file as an instance of the model.

    Raises :class:`UserError` for what a person can mend, with the line; what the operating system
    says of the file is passed on.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", hint=SYNTAX) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _mistake(path, text, model, error) from error


def in_words(message: str) -> str:
    """What pydantic complains of, for a person who writes TOML."""
    for pattern, words in _WORDS:
        message = re.sub(pattern, words, message)
    return message


def _mistake(path: Path, text: str, model: type[BaseModel], error: ValidationError) -> UserError:
    """The one mistake to tell: an unknown key first, as one that is missing is often its echo."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    line = nearest(key_lines(text), first["loc"])
    place = f"{path}:{line}" if line else f"{path}"
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return UserError(f"{place}: `{where}`: {in_words(first['msg'])}", hint=_KEYS)
    return UserError(
        f"{place}: `{where}`: there is no such key",
        hint=did_you_mean(where, model.model_fields, "Known keys"),
    )


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line (from 1) of every key and table header, by its path; array items by index.

    Keys of inline tables are not found by themselves: look up the nearest path above them.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    table: KeyPath = ()
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


def nearest(lines: Mapping[KeyPath, int], path: Sequence[str | int]) -> int | None:
    """The line of a path, or of the nearest path above it that has one."""
    for length in range(len(path), 0, -1):
        if (line := lines.get(tuple(path[:length]))) is not None:
            return line
    return None


def _split(dotted: str) -> KeyPath:
    return tuple(word.strip("\"'") for word in re.findall(_KEY_WORD, dotted))


def _resolve(name: KeyPath, counts: Mapping[KeyPath, int]) -> KeyPath:
    """A header below an array of tables means the array's latest item."""
    resolved: KeyPath = ()
    for word in name[:-1]:
        resolved = (*resolved, word)
        if resolved in counts:
            resolved = (*resolved, counts[resolved])
    return (*resolved, name[-1])
