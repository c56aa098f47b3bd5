# SPDX-License-Identifier: Apache-2.0
"""Whose fault it is that a guest died."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.deadline import Deadline
from driver.errors import EmulatorFault, GuestLost, GuestSplat
from driver.guest import boot
from driver.guest.config import NO_KINDS, GuestConfig
from driver.guest.console_log import ConsoleLog
from driver.guest.diagnosis import Diagnosis
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files
from driver.guest.session import Guest

INT3 = """\
[    1.025774] Oops: int3: 0000 [#1] PREEMPT SMP
[    1.026100] CPU: 2 UID: 0 PID: 0 Comm: swapper/2 Not tainted 6.12.117 #1
[    1.026285] RIP: 0010:sched_clock_cpu+0x5/0x190
[    1.026697] Code: 00 00 00 0f 1f 00 41 54 55 53 {found} <90> e8 c5 fa f8 ff 48 03 05
[    1.026810] RSP: 0018:ffffc9000010cfd8 EFLAGS: 00000006
[    1.028021] ---[ end trace 0000000000000000 ]---
[    1.028217] Kernel panic - not syncing: Fatal exception in interrupt
"""


class Running:
    running = True


def watch(path: Path, text: str) -> Diagnosis:
    path.write_text(text)
    return Diagnosis(Running(), ConsoleLog(path), NO_KINDS)  # type: ignore[arg-type]


def test_a_breakpoint_that_is_not_there_is_the_emulators(tmp_path: Path) -> None:
    watched = watch(tmp_path / "log", INT3.format(found="66"))
    with pytest.raises(EmulatorFault, match="breakpoint") as caught, watched.explaining("then"):
        watched.check_alive()
    assert caught.value.verdict == GuestLost.verdict
    assert "sched_clock_cpu" in (caught.value.excerpt or "")


def test_a_breakpoint_that_is_there_is_the_kernels(tmp_path: Path) -> None:
    watched = watch(tmp_path / "log", INT3.format(found="cc"))
    with pytest.raises(GuestSplat, match="int3"), watched.explaining("then"):
        watched.check_alive()


@pytest.mark.parametrize("broken", [0, 1, 3, 100])
def test_a_guest_that_the_emulator_breaks_is_booted_again(
    broken: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "console.log"
    attempts: list[bool] = []

    def start(setup: GuestConfig, _deadline: Deadline) -> Guest:
        attempts.append(log.exists())
        log.touch()
        if len(attempts) <= broken:
            raise EmulatorFault("again")
        return setup  # type: ignore[return-value]

    monkeypatch.setattr(boot, "_start", start)
    setup = GuestConfig(Machine(), Files(Path("kernel"), Path("initramfs"), log))
    soon = Deadline.after(1, "it")
    if broken < 100:
        assert boot.start(setup, soon) is setup  # type: ignore[comparison-overlap]
        assert len(attempts) == broken + 1
    else:
        with pytest.raises(EmulatorFault):
            boot.start(setup, soon)
        assert 1 < len(attempts) < broken
    assert not any(attempts), "each has a console log of its own"
