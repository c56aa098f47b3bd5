# SPDX-License-Identifier: Apache-2.0
"""The configuration file: a person's defaults, so that they need not be typed.

``config.toml`` in the user's configuration directory for ``dax-pagetable-driver`` (or the file that
``DRIVER_CONFIG`` names; an empty value means none)::

    cache-folder = "/big/disk/driver" # as DRIVER_CACHE, which goes before it
    cache-limit = "20G"               # as DRIVER_CACHE_LIMIT
    project = "~/src/dax-pagetables"  # where no project is found by itself
    quiet = true                      # options of `driver` itself
    [build]                           # options of `driver build`, by their long names
    jobs = 8
    [run.experiment]                  # and so on, for every command
    accel = "tcg"

What may be in it is read off the commands themselves; what is given on the command line wins.
"""

from __future__ import annotations

import inspect
import os
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

from platformdirs import user_config_path

from driver.errors import UserError
from driver.suggestion import did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

VARIABLE = "DRIVER_CONFIG"
# Keys that stand for an environment variable.
ENVIRONMENT = {"cache-folder": "DRIVER_CACHE", "cache-limit": "DRIVER_CACHE_LIMIT"}
PROJECT = "project"
# Options that ask for something once; as a default they make no sense.
NO_DEFAULTS = frozenset(
    {"help", "version", "resume", "attach", "install-completion", "show-completion"}
)
_MANUAL = "docs/how-to/set-defaults.md describes the file."


def location() -> Path | None:
    """Where the file is, or would be; None if there is to be none."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return Path(named).expanduser() if named else None
    return user_config_path("dax-pagetable-driver") / "config.toml"


def load(command: Any) -> dict[str, Any]:
    """The defaults for a tree of commands, as ``default_map`` takes them.

    Sets what stands for environment variables that are not set, and leaves ``project`` in the map.
    Raises :class:`UserError` naming the line of the first mistake.
    """
    path = location()
    if path is None or (not path.exists() and VARIABLE not in os.environ):
        return {}
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path} cannot be read: {reason}", hint=_MANUAL) from error
    from pydantic import ValidationError  # noqa: PLC0415  (0.2 s, and few have the file)

    model = schema(command)
    try:
        checked = model.model_validate(content)
    except ValidationError as error:
        raise _mistake(path, text, model, error) from error
    values = checked.model_dump(mode="json", by_alias=True, exclude_unset=True)
    for key, variable in ENVIRONMENT.items():
        if key in values:
            os.environ.setdefault(variable, str(Path(values[key]).expanduser()))
    return _by_parameter(command, values)


def schema(command: Any, name: str = "config.toml") -> type[BaseModel]:
    """What the table of a command may contain: its options, and a table for each subcommand."""
    from pydantic import ConfigDict, Field, create_model  # noqa: PLC0415

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
            told = getattr(hint, "__metadata__", (None,))[0]
            yield option, getattr(hint, "__origin__", hint), getattr(told, "min", None)


def _by_parameter(command: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values under the names that the commands' functions have for them."""
    commands = getattr(command, "commands", {})
    names = {
        option.removeprefix("--"): parameter.name
        for parameter in command.params
        for option in parameter.opts
    }
    return {
        names.get(key, key): _by_parameter(commands[key], value) if key in commands else value
        for key, value in values.items()
    }


def _mistake(path: Path, text: str, model: type[BaseModel], error: ValidationError) -> UserError:
    """The one mistake to tell: an unknown key first."""
    from driver.tomlfile import (  # noqa: PLC0415
        in_words,
        key_lines,
        nearest,
    )

    items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    where = tuple(items[0]["loc"])
    line = nearest(key_lines(text), where)
    place = f"{path}:{line}" if line else f"{path}"
    if items[0]["type"] != "extra_forbidden":
        field = ".".join(str(word) for word in where)
        return UserError(f"{place}: {field}: {in_words(items[0]['msg'])}", hint=_MANUAL)
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
