# SPDX-License-Identifier: Apache-2.0
"""The table of faults: what was done to a run, and what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from helpers.fault_injection import FaultInjection, Row

# What a test's report calls a row of the table. Reports come from workers too; print() does not.
PROPERTY = "fault"
HEADING = ("fault", "injected how", "rows lost", "rows duplicated", "verdict recorded")


@dataclass(frozen=True)
class FaultTable:
    """Compares resumed runs with undisturbed ones; ``record`` is pytest's ``record_property``."""

    record: Callable[[str, object], None]

    def add(
        self, fault: str, injected: str, bench: FaultInjection, expected: list[Row], verdict: str
    ) -> None:
        """One row: what became of a run, and what an undisturbed one came to."""
        found, wanted = Counter(bench.numbers()), Counter(expected)
        lost, twice = wanted - found, found - wanted
        counts = (str(lost.total()), str(twice.total()))
        self.record(PROPERTY, (fault, injected, *counts, verdict))
        assert not lost, f"lost: {sorted(lost)}"
        assert not twice, f"twice or never planned: {sorted(twice)}"


def print_faults(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end of a test session: the rows that its tests have recorded, if any."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    rows = [
        row
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, row in report.user_properties
        if name == PROPERTY
    ]
    if rows:
        terminalreporter.section("faults")
        terminalreporter.write_line(table([HEADING, *rows]))


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of words, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        " | ".join(word.ljust(width) for word, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(lines)
