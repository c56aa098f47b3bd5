# SPDX-License-Identifier: Apache-2.0
"""What ``config.toml`` may contain, read off the commands, and what is wrong with one."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from driver.tomlfile import validated

# Options that ask for something once; as a default they make no sense.
NO_DEFAULTS = frozenset(
    {"help", "version", "resume", "attach", "show-command", "install-completion", "show-completion"}
)


def check(
    path: Path, text: str, command: Any, *, keys: Collection[str], manual: str
) -> dict[str, Any]:
    """The values of the file at ``path``, by their names in it.

    ``keys`` are those that belong to no command; ``manual`` is the hint for most mistakes.

    Raises :class:`UserError` naming the line of the first mistake.
    """
    checked = validated(path, text, schema(command, keys), manual)
    return checked.model_dump(mode="json", by_alias=True, exclude_unset=True)


def schema(command: Any, keys: Collection[str] = (), name: str = "config.toml") -> type[BaseModel]:
    """What the table of a command may contain: its options, and a table for each subcommand."""
    fields: dict[str, Any] = {}
    for option, hint, least in _options(command):
        constrained = Annotated[hint, Field(ge=least)] if least is not None else hint
        fields[f"option_{option}".replace("-", "_")] = (constrained, Field(None, alias=option))
    for each, subcommand in getattr(command, "commands", {}).items():
        table = schema(subcommand, name=each)
        fields[f"table_{each}"] = (table, Field(None, alias=each))
    for key in keys:
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
