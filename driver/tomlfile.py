# SPDX-License-Identifier: Apache-2.0
"""A TOML file that a person wrote, held against its model: what is wrong with it, and where."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from driver.errors import UserError
from driver.tomllines import key_lines, nearest

_SYNTAX = "Mend the line; https://toml.io describes the format."
_KEYS = "docs/reference/files.md says what each key may hold."
_Model = TypeVar("_Model", bound=BaseModel)


def read(path: Path, model: type[_Model]) -> _Model:
    """The file as an instance of the model.

    Raises :class:`UserError` for what a person can mend, with the line; what the operating system
    says of the file is passed on.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}", hint=_SYNTAX) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise _mistake(path, text, model, error) from error


def _mistake(path: Path, text: str, model: type[BaseModel], error: ValidationError) -> UserError:
    """The one mistake to tell: an unknown key first, as one that is missing is often its echo."""
    first = min(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    line = nearest(key_lines(text), first["loc"])
    place = f"{path}:{line}" if line else f"{path}"
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] != "extra_forbidden":
        return UserError(f"{place}: `{where}`: {first['msg']}", hint=_KEYS)
    close = difflib.get_close_matches(where, model.model_fields, n=1)
    meant = f"Did you mean `{close[0]}`? " if close else ""
    return UserError(
        f"{place}: `{where}`: there is no such key",
        hint=f"{meant}Known keys: {', '.join(model.model_fields)}.",
    )
