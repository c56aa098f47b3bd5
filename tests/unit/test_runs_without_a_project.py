# SPDX-License-Identifier: Apache-2.0
"""A run that somebody was sent, read where there is no project."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command_line import status_of
from helpers.synthetic_runs import FakeGuestRun

from driver.validity import Accelerator, Validity

ONLY = {"kernel": ["baseline"], "processes": ["1"], "gib": ["1"], "entry": ["2M"]}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.delenv("DRIVER_PROJECT", raising=False)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    exact = Validity(Accelerator.ICOUNT, 3)
    bench = FakeGuestRun(tmp_path / "sent", only=ONLY, repeat=2, validity=exact)
    return str(bench.run().directory.path)


@pytest.mark.parametrize("command", ["show", "logs", "report", "repeatability"])
def test_a_path_needs_no_project(
    command: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(command, run) == 0, capsys.readouterr().err


def test_two_paths_are_compared(run: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("compare", run, run, "--fail-on", "*!=0") == 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [("show", "latest"), ("compare", "{run}", "latest")])
def test_a_name_needs_one(
    command: tuple[str, ...], run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*(word.format(run=run) for word in command)) == 2
    assert "no project at or above" in capsys.readouterr().err
