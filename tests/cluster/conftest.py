# SPDX-License-Identifier: Apache-2.0
"""What tests of clusters share: the table of faults at the end."""

from __future__ import annotations

import pytest
from helpers.fault_table import print_faults


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The faults that were injected, and what each cost, as the tests report them."""
    print_faults(terminalreporter)
