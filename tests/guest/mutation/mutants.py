# SPDX-License-Identifier: Apache-2.0
"""The mutants as they are written down in ``mutants.toml``, which explains the keys."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from driver.errors import UserError

DATA = Path(__file__).with_name("mutants.toml")

Kind = Literal[
    "flush", "once", "detach", "key", "zero-page", "split", "skip", "account", "left", "life",
    "lock", "notify",
]  # fmt: skip
Form = Literal["statement", "expression"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Site(_Table):
    """One place of the source that a mutant changes. ``text`` has no surrounding white space."""

    file: str
    form: Form
    text: str
    within: str | None = None
    becomes: str = ""
    times: int = Field(default=1, ge=1)

    def model_post_init(self, _context: object) -> None:
        if not self.text.strip():
            raise ValueError("an empty text is found everywhere")
        if self.form == "expression" and not self.becomes:
            raise ValueError("an expression has to become something")


class _Entry(_Table):
    name: str
    base: str | None = None
    kind: Kind
    guards: str
    cases: list[str] = Field(min_length=1)
    site: list[Site] = Field(min_length=1)
    kernel: Literal["debug"] | None = None
    survives: str | None = None


class _File(_Table):
    mutant: list[_Entry]


@dataclass(frozen=True)
class Mutant:
    """A safeguard that ``dax_pt_share.mutant=NUMBER`` takes away."""

    number: int
    name: str
    kind: Kind
    guards: str
    cases: tuple[str, ...]
    sites: tuple[Site, ...]
    debug_only: bool
    survives: str | None


def load(base: str, path: Path = DATA) -> list[Mutant]:
    """The mutants of the series for a base, numbered from 1.

    Raises :class:`UserError` for a file that is not well-formed.
    """
    try:
        entries = _File.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).mutant
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        raise UserError(f"{path}: {error}") from error
    entries = [entry for entry in entries if entry.base in (None, base)]
    names = [entry.name for entry in entries]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise UserError(f"{path} has more than one mutant called {', '.join(sorted(twice))}")
    return [
        Mutant(
            number=number,
            name=entry.name,
            kind=entry.kind,
            guards=entry.guards,
            cases=tuple(entry.cases),
            sites=tuple(entry.site),
            debug_only=entry.kernel == "debug",
            survives=" ".join(entry.survives.split()) if entry.survives else None,
        )
        for number, entry in enumerate(entries, start=1)
    ]


def choose(mutants: list[Mutant], names: list[str]) -> list[Mutant]:
    """The mutants with these names, or all; :class:`UserError` for an unknown one."""
    unknown = set(names) - {mutant.name for mutant in mutants}
    if unknown:
        raise UserError(
            f"there is no mutant called {', '.join(sorted(unknown))}",
            hint="--list shows all of them.",
        )
    return [mutant for mutant in mutants if not names or mutant.name in names]
