# SPDX-License-Identifier: Apache-2.0
"""What ``config.toml`` may contain, read off the commands, and what is wrong with one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from driver.cli.settings import ENVIRONMENT, MANUAL, PROJECT
from driver.errors import UserError
from driver.suggestion import did_you_mean
from driver.tomlfile import in_words, key_lines, nearest

# Options that ask for something once; as a default they make no sense.
NO_DEFAULTS = frozenset(
    {"help", "version", "resume", "attach", "show-command", "install-completion", "show-completion"}
)


def check(path: Path, text: str, content: Mapping[str, Any], command: Any) -> dict[str, Any]:
    """The values of the file at ``path``, by their names in it.

    Raises :class:`UserError` naming the line of the first mistake.
    """
    model = schema(command)
    try:
        checked = model.model_validate(content)
    except ValidationError as error:
        raise _mistake(path, text, model, error) from error
    return checked.model_dump(mode="json", by_alias=True, exclude_unset=True)


def schema(command: Any, name: str = "config.toml") -> type[BaseModel]:
    """What the table of a command may contain: its options, and a table for each subcommand."""
    fields: dict[str, Any] = {}
    for option, hint, least in _options(command):
        constrained = Annotated[hint, Field(ge=least)] if least is not None else hint
        fields[f"option_{option}".replace("-", "_")] = (constrained, Field(None, alias=option))
    for each, subcommand in getattr(command, "commands", {}).items():
        table = schema(subcommand, each)
        fields[f"table_{each}"] = (table, Field(None, alias=each))
    if name == "config.toml":
        for key in (*ENVIRONMENT, PROJECT):
            fields[f"key_{key}".replace("-", "_")] = (str, Field(None, alias=key))
    config = ConfigDict(extra="forbid", protected_namespaces=())
    return create_model(name, __config__=config, **fields)


def _options(command: Any) -> Iterator[tuple[str, Any, int | None]]:
    """Long name, type and least value of each option of a command, from its function."""
    function = inspect.unwrap(command.callback) if command.callback else None
    hints = get_type_hints(function, include_extras=True) if function else {}
    for parameter in command.params:
        long = max((name for name in parameter.opts if name.startswith("--")), key=len, default="")
        option = long.removeprefix("--")
        if parameter.name in hints and option and option not in NO_DEFAULTS:
            hint = hints[parameter.name]
            declared = getattr(hint, "__metadata__", (None,))[0]
            yield option, getattr(hint, "__origin__", hint), getattr(declared, "min", None)


def _mistake(path: Path, text: str, model: type[BaseModel], error: ValidationError) -> UserError:
    """The one mistake to tell: an unknown key first."""
    items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    where = tuple(items[0]["loc"])
    line = nearest(key_lines(text), where)
    place = f"{path}:{line}" if line else f"{path}"
    if items[0]["type"] != "extra_forbidden":
        field = ".".join(str(word) for word in where)
        return UserError(f"{place}: {field}: {in_words(items[0]['msg'])}", hint=MANUAL)
    allowed = _keys_at(model, where[:-1])
    return UserError(
        f"{place}: there is nothing called `{'.'.join(str(word) for word in where)}`",
        hint=did_you_mean(str(where[-1]), sorted(allowed), "Possible here"),
    )


def _keys_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for word in path:
        table: Any = next(
            (field.annotation for field in model.model_fields.values() if field.alias == word), None
        )
        if not hasattr(table, "model_fields"):
            return []
        model = table
    return [str(field.alias) for field in model.model_fields.values()]
