# SPDX-License-Identifier: Apache-2.0
"""Signals that say to stop are all handled like Ctrl-C, and distinguished by the exit status."""

from __future__ import annotations

import os
import signal

import pytest

from driver.signals import StopSignal, raise_on_signals


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_interrupts(number: signal.Signals, status: int) -> None:
    before = signal.getsignal(number)
    with raise_on_signals() as stop:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        assert stop.exit_status == status
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with raise_on_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.number is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_without_a_signal_it_was_a_person() -> None:
    assert StopSignal().exit_status == 130
