# SPDX-License-Identifier: Apache-2.0
"""Comparing two runs: every number they share, and a remark on everything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from driver.compare.common import (
    Circumstance,
    circumstances,
    common_cells,
    common_quantities,
    fault_remarks,
    matched,
    missing_results,
    unlike_trials,
    why_no_costs,
)
from driver.compare.difference import Difference, compare
from driver.compare.numbers import Cell, Quantity, RunNumbers
from driver.errors import CheckFailed, DriverError, UserError
from driver.experiment.conclusion import Conclusion
from driver.intervals import CONFIDENCE
from driver.validity import Accelerator

# A run under icount repeats on any host, whatever else the text of the experiment says.
_HARMLESS = frozenset({"host", "text of the experiment"})
_EXACT_BUT = (
    "runs under icount repeat to the instruction only with the same kernel, image, machine and "
    "QEMU; these differ, which moves timer ticks and addresses and so changes costs by itself: an "
    "arm that cannot have changed shows by how much"
)


# An interval that is always right says nothing, nor does one that is right half of the time.
LEAST_CONFIDENCE, MOST_CONFIDENCE = 0.5, 0.999


@dataclass(frozen=True)
class ComparedRow:
    """One number of both runs.

    ``arm`` are the levels of the factors that are compared, ``place`` those of the factors that
    are swept. ``difference`` is None if a run that planned the number has no value; ``lacking``
    says which: ``A``, ``B`` or ``A and B``.
    """

    quantity: Quantity
    arm: Cell
    place: Cell
    difference: Difference | None
    lacking: str = ""

    @property
    def outcome(self) -> str:
        return self.difference.outcome if self.difference else "no value"


@dataclass(frozen=True)
class Comparison:
    """The result of comparing two runs.

    ``unlike`` names trials that both planned and only one has finished, which is a difference
    whatever the numbers say; ``faults`` what was at fault in the guests of either. ``refused`` are
    the quantities that exist and must not be compared, with the reason; ``unmatched`` says what the
    runs do not have in common, ``notes`` what to mind when reading.
    """

    first: Conclusion
    second: Conclusion
    confidence: float
    rows: list[ComparedRow]
    refused: dict[str, str]
    unmatched: list[str]
    notes: list[str]
    circumstances: list[Circumstance]
    unlike: list[str]
    faults: list[str]

    def count(self, outcome: str) -> int:
        return sum(row.outcome == outcome for row in self.rows)

    def complaint(self) -> DriverError | None:
        """The error that the comparison exits with before any condition is asked; None if all well.

        A fault in the guests of either run that nobody has allowed, else trials that only one of
        them has finished.
        """
        for label, side in (("A", self.first), ("B", self.second)):
            if side.blamed:
                found = side.complaint()
                assert found is not None
                found.message = f"{label}, {side.run.name}: {found.message}"
                return found
        if self.unlike:
            return CheckFailed(
                f"the runs have not finished the same trials: {'; '.join(self.unlike)}",
                hint=f"Finish both: driver run --resume {self.first.run.name}; "
                f"driver run --resume {self.second.run.name}",
            )
        return None

    @property
    def names(self) -> list[str]:
        """Every quantity that was compared or refused."""
        return list(dict.fromkeys([*(row.quantity.name for row in self.rows), *self.refused]))


def compare_runs(
    first: Conclusion, second: Conclusion, *, confidence: float = CONFIDENCE
) -> Comparison:
    """Compare two runs of one experiment on what they have in common.

    Counts are always compared; times and path lengths only if both runs measured them in the
    same way. ``confidence`` is that of the intervals, from 0.5 to 0.999. Raises
    :class:`driver.errors.UserError` for another one, and for runs of different experiments.
    """
    if not LEAST_CONFIDENCE <= confidence <= MOST_CONFIDENCE:
        raise UserError(
            f"a confidence level of {confidence} is not possible",
            hint=f"Choose one from {LEAST_CONFIDENCE} to {MOST_CONFIDENCE}.",
        )
    a, b, unmatched = matched(first, second)
    quantities, remarks = common_quantities(a, b)
    cells, more = common_cells(a, b)
    unmatched += [*remarks, *more, *missing_results("A", a), *missing_results("B", b)]
    manifests = (first.run.manifest, second.run.manifest)
    why = why_no_costs(*manifests)
    refused = {item.name: why for item in quantities if item.cost and why}
    repeatable = {manifest.accelerator for manifest in manifests} == {Accelerator.ICOUNT}
    pair = _Pair(a.limited_to(cells), b.limited_to(cells), repeatable, confidence)
    rows = [
        row
        for quantity in quantities
        if quantity.name not in refused
        for row in pair.rows(quantity)
    ]
    notes = []
    differ = circumstances(*manifests)
    disturbing = any(item.what not in _HARMLESS for item in differ)
    if repeatable and disturbing and any(row.quantity.cost for row in rows):
        notes.append(_EXACT_BUT)
    return Comparison(
        first,
        second,
        confidence,
        rows,
        refused,
        unmatched,
        notes,
        differ,
        unlike_trials(a, b),
        [*fault_remarks("A", a), *fault_remarks("B", b)],
    )


@dataclass(frozen=True)
class _Pair:
    """Two runs reduced to the combinations of levels both planned."""

    first: RunNumbers
    second: RunNumbers
    repeatable: bool
    confidence: float

    def rows(self, quantity: Quantity) -> Iterator[ComparedRow]:
        """One row for each cell in which at least one of the runs has a value."""
        factors = self.first.conclusion.experiment.factors
        for cell in self.first.cells(quantity):
            arm = tuple(item for item in cell if factors[item[0]].arms)
            place = tuple(item for item in cell if not factors[item[0]].arms)
            has = [side.sample(quantity, cell) is not None for side in (self.first, self.second)]
            if any(has):
                lacking = " and ".join(
                    label for label, there in zip("AB", has, strict=True) if not there
                )
                difference = self._difference(quantity, cell) if all(has) else None
                if all(has) and difference is None:
                    lacking = "A and B"
                yield ComparedRow(quantity, arm, place, difference, lacking)

    def _difference(self, quantity: Quantity, cell: Cell) -> Difference | None:
        """None if what both have finished is too little: a slope needs two common points."""
        finished = [
            key for key, trials in self.first.trials.items() if trials and self.second.trials[key]
        ]
        a = self.first.limited_to(finished).sample(quantity, cell)
        b = self.second.limited_to(finished).sample(quantity, cell)
        if a is None or b is None:
            return None
        return compare(
            a,
            b,
            repeatable=self.repeatable,
            countable=quantity.countable,
            confidence=self.confidence,
        )
