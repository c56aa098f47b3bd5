# SPDX-License-Identifier: Apache-2.0
"""Reading ``experiments/NAME/experiment.toml``; a mistake in it becomes one message."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.experiment.consistency import problems
from driver.experiment.definition import Experiment
from driver.suggestion import did_you_mean
from driver.text import not_utf8
from driver.tomlfile import SYNTAX, mistake, validated

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
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        known = available(experiments)
        raise UserError(
            f"there is no experiment called {name!r}",
            hint=did_you_mean(name, known, "Possible here"),
        ) from None
    except UnicodeDecodeError as error:
        raise UserError(not_utf8(path, error), hint=SYNTAX) from error
    return parse(name, path, text)


def parse(name: str, path: Path, text: str) -> Definition:
    """Make a definition of a text; ``path`` is only named in messages."""
    experiment = validated(path, text, Experiment, _KEYS)
    for problem in problems(experiment):
        hint = (
            did_you_mean(problem.given, problem.allowed, "Possible here")
            if problem.allowed
            else _KEYS
        )
        raise mistake(path, text, problem.path, problem.message, hint=hint)
    return Definition(name, path, text, experiment)
