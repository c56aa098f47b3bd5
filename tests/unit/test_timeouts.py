# SPDX-License-Identifier: Apache-2.0
"""Deadlines grow with what makes a healthy guest slow, and never shrink."""

from __future__ import annotations

import os

import pytest

from driver.guest.machine import Machine
from driver.guest.timeouts import REFERENCE_BOOT_SECONDS as REFERENCE
from driver.guest.timeouts import load_factor, timeout_scale


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two processors that nobody uses."""
    load(monkeypatch, 0.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 1})


def load(monkeypatch: pytest.MonkeyPatch, average: float) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (average, 0.0, 0.0))


@pytest.mark.parametrize(
    ("machine", "boot", "jobs", "expected"),
    [
        (Machine(), REFERENCE, 1, 1.0),
        (Machine(), REFERENCE / 10, 1, 1.0),
        (Machine(accel="kvm"), 0.5, 1, 1.0),
        (Machine(), 3 * REFERENCE, 1, 3.0),
        (Machine(), REFERENCE, 4, 2.0),
        (Machine(vcpus=4), REFERENCE, 1, 2.0),
        # The processors of a deterministic guest take turns on one thread of the host.
        (Machine(vcpus=4, accel="icount"), REFERENCE, 1, 4.0),
        (Machine(vcpus=4, accel="icount"), 2 * REFERENCE, 4, 16.0),
        (Machine(), 1000 * REFERENCE, 1, 40.0),
    ],
)
def test_timeout_scale(machine: Machine, boot: float, jobs: int, expected: float) -> None:
    assert timeout_scale(machine, boot, jobs) == pytest.approx(expected)


def test_a_busy_host(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_factor() == 1.0
    load(monkeypatch, 6.0)
    assert load_factor() == pytest.approx(3.0)
    assert timeout_scale(Machine(), 2 * REFERENCE) == pytest.approx(6.0)
