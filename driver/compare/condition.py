# SPDX-License-Identifier: Apache-2.0
"""``--fail-on``: what a change must not be, so that a script can watch over a kernel tree.

A condition is met if the change, from the first run to the second, is certainly beyond its limit:
where there is a confidence interval, all of it must be. A number that should have been compared
and could not, because the second run has none or too few repeats to tell, is judged by what
there is: what cannot be checked has not passed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from driver.compare.comparison import ComparedRow, Comparison
from driver.compare.difference import Basis, Change, Difference
from driver.errors import UserError
from driver.suggestion import did_you_mean

_EXAMPLE = "For example 'growth>1%', 'growth<-1%', 'growth>4096' or 'growth!=0'."
_TEXT = re.compile(
    r"\s*(?P<name>[\w*?\[\]]+)\s*(?P<relation>!=|>|<)\s*"
    r"(?P<limit>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<percent>%?)\s*"
)


@dataclass(frozen=True)
class Condition:
    """``NAME>LIMIT``, ``NAME<LIMIT`` or ``NAME!=0``, about the change of a number.

    ``name`` may hold the wildcards of a shell. ``limit`` is a fraction of the first run's number
    if ``relative``, else in the number's own unit.
    """

    text: str
    name: str
    relation: str
    limit: float
    relative: bool

    def met_by(self, row: ComparedRow) -> bool:
        """Whether a row is a reason to fail."""
        if not fnmatchcase(row.quantity.name, self.name):
            return False
        if row.difference is None:
            return row.lacking != "A"  # new in B: nothing can have become worse
        difference = row.difference
        if self.relation == "!=":
            return difference.outcome in (Change.CHANGED, Change.UNDECIDED)
        return all(self._beyond(difference, change) for change in _bounds(difference))

    def _beyond(self, difference: Difference, change: float) -> bool:
        size = difference.relative(change) if self.relative else change
        return size > self.limit if self.relation == ">" else size < self.limit


@dataclass(frozen=True)
class ConditionMet:
    """A condition that is met, and the rows that meet it."""

    condition: Condition
    rows: list[ComparedRow]


def parse(text: str) -> Condition:
    """Read a condition as it is written on a command line; raises :class:`UserError`."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise UserError(f"--fail-on {text!r} is not NAME>LIMIT", hint=_EXAMPLE)
    relative = bool(found["percent"])
    limit = float(found["limit"]) / (100 if relative else 1)
    if found["relation"] == "!=" and limit != 0:
        raise UserError(
            f"--fail-on {text!r}: `!=` asks whether anything changed, and takes 0", hint=_EXAMPLE
        )
    return Condition(text.strip(), found["name"], found["relation"], limit, relative)


def findings(comparison: Comparison, conditions: Sequence[Condition]) -> list[ConditionMet]:
    """The conditions that are met.

    Raises :class:`UserError` for a condition about nothing: a name that neither run has, a cost
    that may not be compared, a number without a single value in common.
    """
    for condition in conditions:
        _check(comparison, condition)
    met = (
        ConditionMet(condition, [row for row in comparison.rows if condition.met_by(row)])
        for condition in conditions
    )
    return [finding for finding in met if finding.rows]


def _check(comparison: Comparison, condition: Condition) -> None:
    known = comparison.names
    matching = [name for name in known if fnmatchcase(name, condition.name)]
    if not matching:
        raise UserError(
            f"--fail-on {condition.text!r}: the runs have no number called {condition.name!r} "
            "in common",
            hint=did_you_mean(condition.name, known, "These runs can be compared by"),
        )
    refused = [name for name in matching if name in comparison.refused]
    if len(refused) == len(matching):
        raise UserError(
            f"--fail-on {condition.text!r}: {comparison.refused[refused[0]]}",
            hint="Run both with the same --accel; docs/measurement-validity.md says why.",
        )


def _bounds(difference: Difference) -> list[float]:
    """The changes that are possible: both ends of the interval, or the one there is."""
    if difference.basis is Basis.INTERVAL:
        assert difference.low is not None
        assert difference.high is not None
        return [difference.low, difference.high]
    return [difference.change]
