# SPDX-License-Identifier: Apache-2.0
"""``-v`` shows commands and decisions, ``-vv`` the protocols; without them nothing is logged."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.documentation import ROOT
from test_monitor import Server

from driver import process
from driver.deadline import Deadline
from driver.errors import HostError
from driver.guest.qmp import Monitor
from driver.store import Store


def written(*arguments: str, cache: Path, **environment: str) -> list[str]:
    """What a command of the driver writes to standard error, line by line."""
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *arguments],
        cwd=ROOT,
        env={**os.environ, "DRIVER_CONFIG": "", "DRIVER_CACHE": str(cache), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stderr.splitlines()


# The time, in milliseconds since the start; level; module.
_ENTRY = re.compile(r" *(\d+) ms (INFO|DEBUG) +(driver\.[\w.]+): (.*)")


def test_verbose_shows_the_commands_that_are_run_and_how_they_ended(tmp_path: Path) -> None:
    (tmp_path / "make").write_text("#!/bin/sh\necho GNU Make 4.3; exit 0\n")
    (tmp_path / "make").chmod(0o755)
    lines = written("-v", "doctor", cache=tmp_path, PATH=str(tmp_path))
    entries = [_ENTRY.fullmatch(line) for line in lines]
    found = [entry.groups() for entry in entries if entry]
    assert {level for _, level, _, _ in found} == {"INFO"}
    commands = [text for _, _, module, text in found if module == "driver.process"]
    started = commands.index(f"$ {tmp_path / 'make'} --version")
    assert re.fullmatch(r"make exited with status 0 after \d+\.\d\d s", commands[started + 1])
    times = [int(time) for time, *_ in found]
    assert times == sorted(times)


def test_verbose_shows_what_was_decided(tmp_path: Path) -> None:
    arguments = ("run", "experiment", "five-cases", "--quick", "--dry-run", "--accel", "tcg")
    lines = written("--verbose", *arguments, cache=tmp_path)
    assert any(f"project {ROOT}, cache {tmp_path}" in line for line in lines)
    assert any("five-cases: 6 trials in 2 kinds of guest, under tcg" in line for line in lines)
    assert written(*arguments, cache=tmp_path) == []


def test_verbose_names_the_file_of_defaults_and_may_be_one(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("verbose = 1\n")
    lines = written("list", cache=tmp_path, DRIVER_CONFIG=str(config))
    assert any(line.endswith(f"driver.cli.settings: defaults from {config}") for line in lines)


def test_nothing_is_logged_by_default(tmp_path: Path) -> None:
    lines = written("doctor", cache=tmp_path, PATH="/nowhere")
    assert lines[0] == "Checking the tools"
    assert not any(_ENTRY.fullmatch(line) for line in lines)


def test_a_command_that_fails_is_logged_with_its_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO, "driver.process"), pytest.raises(HostError):
        process.run(["sh", "-c", "exit 7"])
    begun, ended = caplog.messages
    assert begun == "$ sh -c 'exit 7'"
    assert ended.startswith("sh exited with status 7 after ")


def test_the_protocol_is_logged_for_those_who_ask_twice(caplog: pytest.LogCaptureFixture) -> None:
    ours, theirs = socket.socketpair()
    Server(theirs).start()
    monitor = Monitor(ours)
    try:
        for level in (logging.INFO, logging.DEBUG):
            with caplog.at_level(level, "driver.guest.qmp"):
                monitor.execute("query-status", deadline=Deadline.after(10, "an answer"))
    finally:
        monitor.close()
    assert caplog.messages == ["-> query-status {}", "<- query-status: {'status': 'paused'}"]


def test_what_the_cache_has_is_a_decision(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    with caplog.at_level(logging.INFO, "driver.store"):
        for _ in range(2):
            store.get("thing", {"a": 1}, lambda _folder: None)
    made, found = caplog.messages
    assert made.endswith("is not in the cache: making it")
    assert found.endswith("is in the cache")
