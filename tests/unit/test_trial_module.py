# SPDX-License-Identifier: Apache-2.0
"""``lib/trial.py``: phases and values from Python, as the agent takes them and printed by hand."""

from __future__ import annotations

import importlib.util
import socket
import threading
from pathlib import Path
from types import ModuleType

import pytest

PATH = Path(__file__).parents[2] / "experiments/workloads/lib/trial.py"


@pytest.fixture
def trial() -> ModuleType:
    spec = importlib.util.spec_from_file_location("trial", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_by_hand(
    trial: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRIAL_FD", raising=False)
    trial.phase("touched", [1, 2])
    trial.value("found", "count", 512)
    assert capsys.readouterr().out == "phase touched\nvalue found 512 count\n"


def test_under_the_agent(trial: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """A phase returns when the agent has answered; each message is one packet."""
    agent, workload = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with agent, workload:
        monkeypatch.setenv("TRIAL_FD", str(workload.fileno()))
        done = threading.Event()

        def announce() -> None:
            trial.phase("touched", [1, 2])
            done.set()

        thread = threading.Thread(target=announce)
        thread.start()
        assert agent.recv(100) == b"phase touched 1 2"
        assert not done.wait(0.05)
        agent.send(b"go")
        thread.join(10)
        assert done.is_set()
        trial.value("found", "count", 0.1)
        assert agent.recv(100) == b"value found count 0.10000000000000001"


def test_words_without_blanks(trial: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    agent, workload = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with agent, workload:
        monkeypatch.setenv("TRIAL_FD", str(workload.fileno()))
        with pytest.raises(ValueError, match="holds a blank"):
            trial.value("two words", "count", 1)
        with pytest.raises(ValueError, match="empty"):
            trial.phase("")
