# SPDX-License-Identifier: Apache-2.0
"""A TOML file that a person wrote, validated by its model: what is wrong with it, and where."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from driver.errors import UserError
from driver.schema_errors import impossible, in_words, key_text
from driver.suggestion import did_you_mean
from driver.text import not_utf8
from driver.toml_positions import KeyPath, key_lines, nearest

SYNTAX = "Correct the line; https://toml.io describes the format."
_KEYS = "docs/reference/files.md says what each key may hold."
_Model = TypeVar("_Model", bound=BaseModel)


def read(path: Path, model: type[_Model]) -> _Model:
    """The file as an instance of the model.

    Raises :class:`UserError` for what a person can correct, with the line; what the operating
    system says of the file is passed on.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(not_utf8(path, error), hint=SYNTAX) from error
    return validated(path, text, model, _KEYS)


def validated(path: Path, text: str, model: type[_Model], manual: str) -> _Model:
    """A text as an instance of the model; ``path`` is only named in messages.

    ``manual`` is the hint where nothing better is known. Raises :class:`UserError`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not valid TOML: {error}", hint=SYNTAX) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _explained(path, text, model, error, manual) from error


def mistake(path: Path, text: str, key: KeyPath, message: str, *, hint: str) -> UserError:
    """What is wrong with a key: ``FILE:LINE: KEY: MESSAGE``."""
    line = nearest(key_lines(text), key)
    place = f"{path}:{line}" if line else f"{path}"
    return UserError(": ".join(filter(None, (place, key_text(key), message))), hint=hint)


def _explained(
    path: Path, text: str, model: type[BaseModel], error: ValidationError, manual: str
) -> UserError:
    """The first mistake, an unknown key before others: a key that is missing is often its echo."""
    item = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    key: KeyPath = tuple(word for word in item["loc"] if word != "[key]")
    if item["type"] == "extra_forbidden":
        word, table = str(key[-1]), _model_at(model, key[:-1])
        hint = did_you_mean(word, _keys(table), "Possible here") if table else manual
        return mistake(path, text, key, f"unknown key {word!r}", hint=hint)
    if item["type"] == "missing":
        return mistake(path, text, key[:-1], f"the key {key[-1]!r} is missing", hint=manual)
    if item["type"] in ("literal_error", "enum"):
        expected = str(item.get("ctx", {}).get("expected", ""))
        allowed = [part.strip(" '") for part in expected.replace(" or ", ",").split(",")]
        given = str(item["input"])
        hint = did_you_mean(given, allowed, "Possible here")
        return mistake(path, text, key, impossible(item["input"]), hint=hint)
    return mistake(path, text, key, in_words(item["msg"]), hint=manual)


def _keys(model: type[BaseModel]) -> list[str]:
    """The keys of a table, as a file has them."""
    return sorted(field.alias or name for name, field in model.model_fields.items())


def _model_at(model: type[BaseModel], key: KeyPath) -> type[BaseModel] | None:
    """The table that a key leads to, following mappings and arrays of tables."""
    if not key:
        return model
    for name, field in model.model_fields.items():
        if (field.alias or name) == key[0]:
            return _descend(field.annotation, key[1:])
    return None


def _descend(annotation: Any, key: KeyPath) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model_at(annotation, key)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return None
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        inner = arguments[-1] if arguments[-1] is not Ellipsis else arguments[0]
        return _descend(inner, key[1:])
    for argument in arguments:  # unions and Annotated
        if (found := _descend(argument, key)) is not None:
            return found
    return None
