# SPDX-License-Identifier: Apache-2.0
"""The table of faults: what was done to a run, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from disturbed import Bench, Row


@dataclass(frozen=True)
class Line:
    """A row of the table at the end."""

    fault: str
    injected: str
    lost: int
    twice: int
    verdict: str


class Matrix(list[Line]):
    """What became of each fault."""

    def add(
        self, fault: str, injected: str, bench: Bench, expected: list[Row], verdict: str
    ) -> None:
        """Hold a mended run against what an undisturbed one came to."""
        found, wanted = Counter(bench.numbers()), Counter(expected)
        lost, twice = wanted - found, found - wanted
        self.append(Line(fault, injected, lost.total(), twice.total(), verdict))
        assert not lost, f"lost: {sorted(lost)}"
        assert not twice, f"twice or never planned: {sorted(twice)}"

    def __str__(self) -> str:
        rows = [("fault", "injected how", "rows lost", "rows duplicated", "verdict recorded")]
        rows += [(a.fault, a.injected, str(a.lost), str(a.twice), a.verdict) for a in self]
        return table(rows)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(lines)
