# SPDX-License-Identifier: Apache-2.0
"""What tests of clusters share: the table of faults at the end."""

from __future__ import annotations

import pytest
from helpers.fault_table import HEADING, PROPERTY, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The faults that were injected, and what each cost, as the tests report them."""
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
