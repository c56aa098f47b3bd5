# SPDX-License-Identifier: Apache-2.0
"""Starting and ending a QEMU, with programs in its place that end well, badly or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from driver.errors import HostError
from driver.guest.qemu_process import QemuProcess


def nothing() -> None:
    """It does not react to being asked."""


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def wait_gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while not gone(pid) and time.monotonic() < until:
        time.sleep(0.01)
    return gone(pid)


def test_one_that_ends_by_itself() -> None:
    emulator = QemuProcess(["sh", "-c", "echo no such machine >&2; exit 3"], [])
    assert emulator.wait(10)
    ended = emulator.stop(nothing)
    assert (ended.ending, ended.status) == ("exited", 3)
    assert emulator.messages() == "no such machine\n"


def test_one_that_does_as_asked(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    emulator = QemuProcess(["cat", f"/proc/self/fd/{reading}"], [reading])
    os.close(reading)
    ended = emulator.stop(lambda: os.close(writing))
    assert (ended.ending, ended.status) == ("asked", 0)


def test_one_that_needs_a_signal() -> None:
    ended = QemuProcess(["sleep", "1000"], []).stop(nothing, grace=0.2)
    assert (ended.ending, ended.status) == ("terminated", -signal.SIGTERM)


def test_one_that_needs_the_last_resort() -> None:
    emulator = QemuProcess(
        ["sh", "-c", "trap '' TERM; echo ready >&2; while :; do sleep 0.1; done"], []
    )
    while "ready" not in emulator.messages():
        time.sleep(0.01)
    ended = emulator.stop(nothing, grace=0.2)
    assert (ended.ending, ended.status) == ("killed", -signal.SIGKILL)
    assert emulator.stop(nothing) is ended


def test_a_missing_program_names_the_package() -> None:
    with pytest.raises(HostError, match="`qemu-system-x86_64` was not found") as caught:
        QemuProcess(["qemu-system-x86_64"], [], path="/nowhere")
    assert caught.value.hint == "Install it: sudo apt-get install qemu-system-x86"


def test_it_outlives_the_thread_that_started_it() -> None:
    """PR_SET_PDEATHSIG watches a thread; a pool's worker must not take its guest along."""
    started: list[QemuProcess] = []
    thread = threading.Thread(target=lambda: started.append(QemuProcess(["sleep", "1000"], [])))
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert started[0].running
    started[0].stop(nothing, grace=0.1)


def test_it_does_not_outlive_the_driver() -> None:
    program = (
        "import time\n"
        "from driver.guest.qemu_process import QemuProcess\n"
        "print(QemuProcess(['sleep', '1000'], []).pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        time.sleep(0.2)  # setpriv needs a moment to become the program
        assert not gone(pid)
        driver.kill()
    assert wait_gone(pid)


def test_an_interrupt_while_ending_it_leaves_nothing() -> None:
    emulator = QemuProcess(["sleep", "1000"], [])

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        emulator.stop(interrupted)
    assert gone(emulator.pid)
