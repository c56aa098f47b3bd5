# SPDX-License-Identifier: Apache-2.0
"""One test case, as its program reported it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

# `todo`: failed, and is known to; `incomplete`: the output ended before its result.
CaseVerdict = Literal["ok", "not ok", "skip", "todo", "incomplete"]
SEPARATOR = " > "


@dataclass(frozen=True)
class Case:
    """A test case: ``name`` is a path of subtests; ``note`` is the reason or diagnosis it gave."""

    name: str
    verdict: CaseVerdict
    note: str = ""


@dataclass(frozen=True)
class Report:
    """What a program's output says: its cases in order, and what is wrong with the output itself.

    ``problems`` are sentences such as "the plan says 5 cases, 3 were reported": what a reader must
    know before the verdicts are believed.
    """

    cases: tuple[Case, ...] = ()
    problems: tuple[str, ...] = field(default=())


def unique(cases: Iterable[Case]) -> tuple[Case, ...]:
    """The cases, each with a name of its own: the second ``x`` becomes ``x (2)``.

    Programs report the same description again and again; a case is known by its name, so that two
    runs can be compared.
    """
    taken: set[str] = set()
    counts: dict[str, int] = {}
    named = []
    for case in cases:
        name = case.name
        while name in taken:
            counts[case.name] = counts.get(case.name, 1) + 1
            name = f"{case.name} ({counts[case.name]})"
        taken.add(name)
        named.append(replace(case, name=name))
    return tuple(named)
