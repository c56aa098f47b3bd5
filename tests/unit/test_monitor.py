# SPDX-License-Identifier: Apache-2.0
"""The QMP client, against a small server that speaks the protocol over the same kind of socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, HostError
from driver.guest.qmp import Monitor

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}


class Server(threading.Thread):
    """Answers like QEMU: ``stuck`` never, ``quit`` by closing, ``nonsense`` with an error."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(daemon=True)
        self.sock = sock
        self.commands: list[str] = []

    def run(self) -> None:
        with self.sock:
            self._say(GREETING)
            decoder, text = json.JSONDecoder(), ""
            while chunk := self.sock.recv(4096):
                text += chunk.decode()
                while text.strip():
                    try:
                        request, end = decoder.raw_decode(text.lstrip())
                    except ValueError:
                        break
                    text = text.lstrip()[end:]
                    if not self._answer(request):
                        return

    def _answer(self, request: dict[str, Any]) -> bool:
        name = request["execute"]
        self.commands.append(name)
        if name == "stuck":
            return True
        reply: dict[str, Any] = {"return": {"status": "paused"}}
        if name == "nonsense":
            reply = {"error": {"class": "CommandNotFound", "desc": "no such command"}}
        if "id" in request:
            reply["id"] = request["id"]
        self._say(reply)
        if name == "cont":
            for event in ("RESUME", "WATCHDOG", "STOP"):
                self._say({"event": event, "timestamp": {"seconds": 1, "microseconds": 0}})
        return bool(name != "quit")

    def _say(self, message: object) -> None:
        self.sock.sendall(json.dumps(message).encode() + b"\r\n")


@contextmanager
def connected() -> Iterator[tuple[Monitor, Server]]:
    ours, theirs = socket.socketpair()
    server = Server(theirs)
    server.start()
    monitor = Monitor(ours)
    try:
        yield monitor, server
    finally:
        monitor.close()


def soon() -> Deadline:
    return Deadline.after(10, "the monitor")


def test_commands_are_answered() -> None:
    with connected() as (monitor, server):
        assert monitor.execute("query-status", deadline=soon()) == {"status": "paused"}
        assert server.commands[0] == "qmp_capabilities"


def test_a_refusal_is_reported() -> None:
    with connected() as (monitor, _server), pytest.raises(HostError, match="no such command"):
        monitor.execute("nonsense", deadline=soon())


def test_a_stuck_monitor_meets_the_deadline() -> None:
    with connected() as (monitor, _server):
        monitor.execute("query-status", deadline=soon())
        with pytest.raises(GuestTimeout):
            monitor.execute("stuck", deadline=Deadline.after(0.2, "the monitor"))


def test_events_arrive_by_themselves() -> None:
    with connected() as (monitor, server):
        monitor.execute("cont", deadline=soon())
        assert [monitor.wait_event("STOP", 5) for _ in range(3)] == [False, False, True]
        assert not monitor.wait_event("STOP", 0.01)
        assert server.commands == ["qmp_capabilities", "cont"]


def test_no_event_comes_from_the_dead() -> None:
    with connected() as (monitor, server):
        monitor.execute("quit", deadline=soon())
        server.join(10)
        assert not monitor.wait_event("STOP", 0.1)


def test_a_monitor_that_goes_away_is_lost() -> None:
    with connected() as (monitor, _server):
        monitor.ask_to_quit()
        with pytest.raises(GuestLost):
            monitor.execute("query-status", deadline=soon())


def test_asking_to_quit_needs_no_greeting_first() -> None:
    with connected() as (monitor, server):
        monitor.ask_to_quit()
        server.join(10)
        assert server.commands == ["qmp_capabilities", "quit"]


def test_asking_to_quit_after_other_commands() -> None:
    with connected() as (monitor, server):
        monitor.execute("query-status", deadline=soon())
        monitor.ask_to_quit()
        server.join(10)
        assert server.commands[-1] == "quit"


def test_asking_the_dead_is_no_error() -> None:
    ours, theirs = socket.socketpair()
    theirs.close()
    monitor = Monitor(ours)
    monitor.ask_to_quit()
    monitor.close()
    monitor.close()


def test_it_works_where_an_event_loop_runs_already() -> None:
    """As in every cell of a notebook."""

    async def cell() -> Any:
        with connected() as (monitor, _server):
            return monitor.execute("query-status", deadline=Deadline.after(10, "it"))

    assert asyncio.run(cell()) == {"status": "paused"}
