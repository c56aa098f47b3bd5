# SPDX-License-Identifier: Apache-2.0
"""What all tests begin with."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="session")
def signals_arrive() -> Iterator[None]:
    """Tests interrupt themselves, also below nohup, which ignores SIGHUP, and in the background of
    a script, whose shell ignores SIGINT.
    """
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGHUP, hangup)
    signal.signal(signal.SIGINT, interrupt)
