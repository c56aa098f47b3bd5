# SPDX-License-Identifier: Apache-2.0
"""What a guest keeps open in the driver, and releases; another program replaces QEMU."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers.descriptors import descriptors, opened_since

from driver.errors import HostError
from driver.guest import console, session
from driver.guest.config import GuestConfig
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files
from driver.guest.qemu_process import QemuProcess
from driver.guest.session import Guest


def pumps() -> list[threading.Thread]:
    """Threads that move what a console prints."""
    return [thread for thread in threading.enumerate() if thread.name == console.THREAD]


def brief(_argv: Sequence[str], inherit: Sequence[int]) -> QemuProcess:
    return QemuProcess(["true"], inherit)


def missing(_argv: Sequence[str], _inherit: Sequence[int]) -> QemuProcess:
    raise HostError("the program `qemu-system-x86_64` was not found")


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("machine", [Machine(), Machine(accel="icount")])
def test_a_guest_that_is_closed_leaves_nothing_open(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, live: bool
) -> None:
    config = GuestConfig(machine, Files(Path("k"), Path("i"), tmp_path / "log"), console=live)
    QemuProcess(["true"], []).stop(lambda: None)  # the thread that starts them stays
    before = descriptors()
    monkeypatch.setattr(session, "QemuProcess", brief)
    guest = Guest(config)
    assert guest.close().ending in ("exited", "asked")
    assert guest.close().status == 0
    monkeypatch.setattr(session, "QemuProcess", missing)
    with pytest.raises(HostError):
        Guest(config)
    for pump in pumps():
        pump.join(10)
    assert not pumps()
    assert not opened_since(before)
