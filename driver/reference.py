# SPDX-License-Identifier: Apache-2.0
"""The reference pages of ``docs/reference/``, made from the code they describe.

``python -m driver.reference docs/reference`` writes them; a test fails when what is committed is
not what the code would write now.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from driver import counters, errors
from driver.cli import settings
from driver.cli.main import command as main_command
from driver.experiment import expression
from driver.experiment.definition import Experiment
from driver.image.recipe import Recipe
from driver.instruments import instruments
from driver.kernel.kconfig_fragment import variants
from driver.kernel.series import SeriesFile
from driver.markdown import markdown, row_text
from driver.results import columns, observations, schema
from driver.results.manifest import Manifest
from driver.suite.definition import Suite
from driver.validity import UNITS, Accelerator

# Columns of text; what `--help` prints on a terminal of that width.
_WIDTH = 100
_MADE = "<!-- Made by `make docs` from the code; do not edit. -->\n"
# Kinds of text that a validator of driver.experiment.definition tells apart.
_KINDS = {
    "_expression": "expression",
    "_template": "template",
    "_name": "name",
    "_unit": "unit",
    "_level": "level",
    "_phase": "phase or its name",
}


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "commands.md": commands(),
        "experiment.md": experiment(),
        "files.md": files(),
        "results.md": results(),
    }


def commands() -> str:
    """What ``--help`` says of each command, and the exit statuses."""
    parts = ["# Commands\n", _MADE]
    for path, text in _helps(main_command(), "driver"):
        parts.append(f"## {path}\n\n```text\n{text.rstrip()}\n```\n")
    parts.append("## Exit status\n\n| status | meaning |\n|---|---|")
    classes = r"\(none\)|:class:`\w+`|KeyboardInterrupt|the same, by SIGTERM"
    for status, text in re.findall(rf"^(\d+) +(?:{classes}) +(.*)$", errors.__doc__ or "", re.M):
        parts.append(row_text([status, text]))
    parts.append("\nProgress and errors go to standard error, results to standard output.\n")
    return "\n".join(parts)


def _helps(command: Any, path: str, parent: Any = None) -> Iterator[tuple[str, str]]:
    context = command.make_context(path, [], parent=parent, resilient_parsing=True)
    context.terminal_width = context.max_content_width = _WIDTH
    yield context.command_path, command.get_help(context)
    for name, subcommand in sorted(getattr(command, "commands", {}).items()):
        yield from _helps(subcommand, name, context)


def experiment() -> str:
    """The tables of ``experiment.toml``, its expressions, and the sources of counters."""
    parts = ["# experiment.toml\n", _MADE, *_tables(Experiment)]
    parts.append(f"## Expressions\n\n{markdown(expression.__doc__)}\n")
    parts.append("## Instruments\n")
    parts.append("| instrument | what it sees | tables |\n|---|---|---|")
    for one in instruments().values():
        tables = ", ".join(f"`{table.name}`" for table in one.tables)
        parts.append(row_text([f"`{one.name}`", one.summary, tables]))
    parts.append("")
    known = ", ".join(f"`{name}`" for name in expression.CONSTANTS)
    parts.append(f"Known everywhere: {known}; in an assertion also `{expression.ELSEWHERE}`.\n")
    parts.append("## Sources of counters\n")
    parts.append("| source | read from | per process | valid under | what it is |")
    parts.append("|---|---|---|---|---|")
    for source in counters.sources().values():
        each = "yes" if source.scope.name == "PROCESS" else ""
        valid = ", ".join(name.value for name in Accelerator if name in source.valid)
        path = f"`{source.path}`" if source.path else ""
        parts.append(row_text([f"`{source.name}`", path, each, valid, source.summary]))
    return "\n".join(parts) + "\n"


def files() -> str:
    """The other files that a person writes."""
    parts = ["# Files a person writes\n", _MADE]
    parts += _tables(SeriesFile, "kernel-patches/NAME/series.toml")
    parts += [f"Variants of a kernel: {', '.join(f'`{name}`' for name in variants())}.\n"]
    parts += _tables(Recipe, "guest-images/NAME/recipe.toml")
    parts += _tables(Suite, "experiments/suites/NAME/suite.toml")
    parts.append(f"## config.toml\n\n{markdown(settings.__doc__)}\n")
    return "\n".join(parts)


def results() -> str:
    """What a run leaves behind, column by column."""
    parts = ["# Results\n", _MADE, markdown(schema.__doc__) + "\n"]
    files = [(columns.ABOUT[name], name, columns.COLUMNS[name]) for name in columns.COLUMNS]
    files += [
        (table.about, name, {**columns.OF_A_TRIAL, **table.columns})
        for name, table in observations.tables().items()
    ]
    for about, name, described in files:
        parts.append(f"## {name}\n\n{about}\n")
        parts.append("| column | unit | meaning |\n|---|---|---|")
        parts += [
            row_text([f"`{column}`", unit, text]) for column, (unit, text) in described.items()
        ]
        parts.append("")
    units = ", ".join(f"`{unit}`" for unit in sorted(UNITS))
    parts.append(f"## Units\n\n{units}, or the plural noun of what is counted.\n")
    for source in counters.sources().values():
        module = inspect.getmodule(source.parse)
        parts.append(f"### Numbers of `{source.name}`\n")
        parts.append(f"{markdown(module.__doc__ if module else '')}\n")
    return "\n".join([*parts, *_records(Manifest, "manifest.json")])


def _tables(model: type[BaseModel], title: str = "") -> list[str]:
    """A section for a table of a file and for each kind of table inside it."""
    parts: list[str] = []
    for table, hints in _models_of(model):
        heading = title if table is model and title else table.__name__
        parts.append(f"## {heading}\n\n{markdown(table.__doc__)}\n")
        parts.append("| key | value | default |\n|---|---|---|")
        for name, field in table.model_fields.items():
            default = "needed" if field.is_required() else _default(field.default)
            parts.append(row_text([f"`{name}`", _kind(hints[name]), default]))
        parts.append("")
    return parts


def _records(model: type[BaseModel], title: str) -> list[str]:
    """The same for a file that the driver writes: it has no defaults, and may hold null."""
    parts: list[str] = []
    for table, hints in _models_of(model):
        heading = f"## {title}" if table is model else f"### {table.__name__}"
        parts.append(f"{heading}\n\n{markdown(table.__doc__)}\n")
        parts.append("| key | value |\n|---|---|")
        for name in table.model_fields:
            empty = " or `null`" if type(None) in get_args(hints[name]) else ""
            parts.append(row_text([f"`{name}`", _kind(hints[name]) + empty]))
        parts.append("")
    return parts


def _models_of(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], Mapping[str, Any]]]:
    """A model and those inside it, each once, with the types of their fields."""
    waiting, seen = [model], {model}
    while waiting:
        table = waiting.pop(0)
        hints = typing.get_type_hints(table, include_extras=True)
        yield table, hints
        for name in table.model_fields:
            new = [inner for inner in _models(hints[name]) if inner not in seen]
            seen.update(new)
            waiting += new


def _kind(hint: Any) -> str:  # noqa: PLR0911  (a table of cases)
    """A type in words."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        named = [getattr(getattr(note, "func", None), "__name__", "") for note in arguments[1:]]
        return next((_KINDS[name] for name in named if name in _KINDS), _kind(arguments[0]))
    if origin is Literal:
        return ", ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (tuple, list):
        return f"list: {_kind(arguments[0])}"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"table: {_kind(arguments[0])} = {_kind(arguments[1])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(part) for part in arguments if part is not type(None))
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return ", ".join(f'`"{member.value}"`' for member in hint)
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    plain = {str: "text", int: "integer", float: "number", bool: "`true` or `false`", Any: "value"}
    return plain.get(hint, str(hint))


def _models(hint: Any) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        yield hint
    for part in get_args(hint):
        yield from _models(part)


def _default(value: Any) -> str:
    if isinstance(value, BaseModel):
        shown = ", ".join(f"`{name}` = {_default(each)}" for name, each in value)
        return shown or "as given there"
    if isinstance(value, enum.Enum):
        value = value.value
    if value in (None, "", (), [], {}):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, (tuple, list)):
        return ", ".join(_default(part) for part in value)
    return f"`{value}`"


def main(folder: Path) -> None:
    """Write the pages."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
