# SPDX-License-Identifier: Apache-2.0
"""Write results as KTAP, version 1 (``Documentation/dev-tools/ktap.rst``)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from driver.suite.case import Case
from driver.suite.junit import Group

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def document(groups: Sequence[Group]) -> str:
    """The groups as tests with subtests; a group passes if none of its cases fails."""
    lines = ["KTAP version 1", f"1..{len(groups)}"]
    for number, group in enumerate(groups, start=1):
        lines += ["  KTAP version 1", f"  # Subtest: {_name(group.name)}"]
        lines += [f"  {line}" for line in _cases(group.cases)]
        passed = all(case.verdict in ("ok", "skip", "todo") for case in group.cases)
        lines.append(f"{'ok' if passed else 'not ok'} {number} {_name(group.name)}")
    return "\n".join(lines) + "\n"


def _cases(cases: Sequence[Case]) -> Iterator[str]:
    yield f"1..{len(cases)}"
    for number, case in enumerate(cases, start=1):
        passed = case.verdict in ("ok", "skip")
        directive = {"skip": " # SKIP", "todo": " # TODO"}.get(case.verdict, "")
        note = f" {_name(case.note)}" if directive and case.note else ""
        yield f"{'ok' if passed else 'not ok'} {number} {_name(case.name)}{directive}{note}"


def _name(text: str) -> str:
    """On one line, and without what would begin a directive."""
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace("#", "\\#")
