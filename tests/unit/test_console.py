# SPDX-License-Identifier: Apache-2.0
"""The console's log as it grows, and the live console."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

import pytest

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout
from driver.guest.console import Console
from driver.guest.console_log import ConsoleLog

SPLAT = b"[    2.000000] BUG: Bad rss-counter state mm:00000000deadbeef type:MM_ANONPAGES val:1\r\n"


def test_a_log_that_does_not_exist_yet_is_empty(tmp_path: Path) -> None:
    log = ConsoleLog(tmp_path / "console.log")
    assert not log.poll()
    assert log.text() == ""
    assert log.tail() == ""


def test_a_splat_is_seen_when_its_line_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    log = ConsoleLog(path)
    with path.open("wb") as sink:
        sink.write(b"[    1.000000] Linux version 6.12.117\r\n" + SPLAT[:40])
        sink.flush()
        assert log.poll()
        assert not log.splats
        assert not log.poll()
        sink.write(SPLAT[40:])
        sink.flush()
        assert log.poll()
    assert [splat.kind for splat in log.splats] == ["bad-rss"]
    assert "\r" not in log.text()
    assert log.tail(1) == SPLAT.decode().strip()


def test_a_last_line_without_an_end_is_judged_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    path.write_bytes(b"[    3.000000] Kernel panic - not syncing: cut off he")
    log = ConsoleLog(path)
    log.poll()
    assert not log.splats
    log.finish()
    assert [splat.kind for splat in log.splats] == ["panic"]


@pytest.fixture
def pair() -> tuple[Console, socket.socket]:
    ours, theirs = socket.socketpair()
    return Console(ours), theirs


def soon() -> Deadline:
    return Deadline.after(10, "the console")


def test_a_dialogue(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair

    def answer() -> None:
        assert guest.recv(100) == b"uname\r"
        guest.sendall(b"uname\r\nLinux\r\n/ # ")

    guest.sendall(b"booting\r\n/ # ")
    assert "booting" in console.expect(r"/ # ", soon())
    thread = threading.Thread(target=answer)
    thread.start()
    console.send_line("uname")
    assert "Linux" in console.expect(r"/ # ", soon())
    thread.join()
    console.close()


def test_a_silent_console_meets_the_deadline(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.sendall(b"something else")
    with pytest.raises(GuestTimeout) as caught:
        console.expect("login:", Deadline.after(0.2, "the console"))
    assert caught.value.excerpt == "something else"


def test_a_closed_console_is_a_lost_guest(pair: tuple[Console, socket.socket]) -> None:
    console, guest = pair
    guest.close()
    with pytest.raises(GuestLost):
        console.expect("login:", soon())
