# SPDX-License-Identifier: Apache-2.0
"""Reading ``experiments/NAME/experiment.toml``; a mistake in it becomes one message."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from driver.errors import UserError
from driver.experiment.consistency import Problem, problems
from driver.experiment.definition import Experiment
from driver.suggestion import did_you_mean
from driver.tomlfile import SYNTAX, KeyPath, in_words, key_lines, nearest

FILE_NAME = "experiment.toml"
_KEYS = "docs/reference/experiment.md says what each key may hold."


@dataclass(frozen=True)
class Definition:
    """An experiment together with the text it came from."""

    name: str
    path: Path
    text: str
    experiment: Experiment

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def available(experiments: Path) -> list[str]:
    """Names of all experiments in a project, sorted."""
    return sorted(path.parent.name for path in experiments.glob(f"*/{FILE_NAME}"))


def load(experiments: Path, name: str) -> Definition:
    """The experiment in the folder ``name``; raises :class:`UserError` if there is none."""
    path = experiments / name / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = available(experiments)
        raise UserError(
            f"there is no experiment called {name!r}",
            hint=did_you_mean(name, known, "Possible here"),
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}", hint=SYNTAX) from error
    return parse(name, path, text)


def parse(name: str, path: Path, text: str) -> Definition:
    """Make a definition of a text; ``path`` is only named in messages."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{path} is not TOML: {error}", hint=SYNTAX) from error
    try:
        experiment = Experiment.model_validate(content)
    except ValidationError as error:
        raise _user_error(path, text, _schema_problem(error)) from error
    for problem in problems(experiment):
        raise _user_error(path, text, problem)
    return Definition(name, path, text, experiment)


def _user_error(path: Path, text: str, problem: Problem) -> UserError:
    line = nearest(key_lines(text), problem.path)
    place = f"{path}:{line}" if line else f"{path}"
    field = ".".join(str(word) for word in problem.path)
    allowed = problem.allowed
    hint = did_you_mean(problem.given, allowed, "Possible here") if allowed else _KEYS
    return UserError(f"{place}: {field + ': ' if field else ''}{problem.message}", hint=hint)


def _schema_problem(error: ValidationError) -> Problem:
    """The one error to tell: an unknown key first, since a missing one is often its echo."""
    items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    item = items[0]
    path: KeyPath = tuple(word for word in item["loc"] if word != "[key]")
    if item["type"] == "extra_forbidden":
        table = _model_at(Experiment, path[:-1])
        allowed = tuple(table.model_fields) if table else ()
        return Problem(path, f"unknown key {path[-1]!r}", str(path[-1]), allowed)
    if item["type"] == "missing":
        return Problem(path[:-1], f"the key {path[-1]!r} is missing")
    if item["type"] == "literal_error":
        expected = str(item.get("ctx", {}).get("expected", ""))
        allowed = tuple(part.strip(" '") for part in expected.replace(" or ", ",").split(","))
        return Problem(path, f"{item['input']!r} is not possible", str(item["input"]), allowed)
    return Problem(path, in_words(item["msg"]))


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    """The table that a path leads to, following mappings and arrays of tables."""
    if not path:
        return model
    first, rest = path[0], path[1:]
    field = model.model_fields.get(str(first))
    return _descend(field.annotation, rest) if field else None


def _descend(annotation: Any, path: KeyPath) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _model_at(annotation, path)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None:
        return None
    if origin in (tuple, list) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return _descend(arguments[-1] if arguments[-1] is not Ellipsis else arguments[0], path[1:])
    for argument in arguments:  # unions and Annotated
        if (found := _descend(argument, path)) is not None:
            return found
    return None
