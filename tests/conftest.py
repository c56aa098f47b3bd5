# SPDX-License-Identifier: Apache-2.0
"""What all tests share: signals that arrive, and a warning for slow tests that do not say so."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

# Seconds of processor time, so that a busy host makes no test slow. Twice what the marker says, as
# the first test of a worker also pays for imports and for the fixtures that it shares.
SLOW = 4.0


class UnmarkedSlowTest(pytest.PytestWarning):
    """A test that `make test-unit` should leave out."""


def processor_time() -> float:
    """Seconds of this process and of its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    begun = processor_time()
    result = yield
    spent = processor_time() - begun
    if spent > SLOW and not any(item.get_closest_marker(name) for name in ("slow", "guest")):
        advice = "make it faster or mark it slow"
        item.warn(UnmarkedSlowTest(f"{spent:.1f} s of processor time: {advice}"))
    return result


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
