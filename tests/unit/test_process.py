# SPDX-License-Identifier: Apache-2.0
"""Running programs: what a failure says, and that nothing is left running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from driver.errors import HostError
from driver.process import (
    CommandFailed,
    describe_status,
    end_group,
    install_hint,
    quote,
    run,
    stream,
)


def test_output_and_status() -> None:
    done = run(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    assert (done.status, done.stdout, done.stderr) == (3, "out\n", "err\n")


def test_failure_gives_the_line_to_paste_and_the_output(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "echo 'it broke' >&2; exit 7"], cwd=tmp_path)
    assert (
        caught.value.message == f"`{quote(['sh', '-c', _SCRIPT], tmp_path)}` exited with status 7"
    )
    assert caught.value.excerpt == "it broke"
    assert caught.value.status == 7


_SCRIPT = "echo 'it broke' >&2; exit 7"


def test_signal_is_named() -> None:
    with pytest.raises(CommandFailed, match="was killed by SIGKILL"):
        run(["sh", "-c", "kill -9 $$"])


def test_exit_statuses_in_words() -> None:
    assert describe_status(0) == "exited with status 0"
    assert describe_status(-15) == "was killed by SIGTERM"
    assert describe_status(-35) == "was killed by signal 35"  # a real-time signal


def test_one_line_installs_several_programs() -> None:
    assert install_hint("ld", "flex", "readelf") == (
        "Install them: sudo apt-get install binutils flex"
    )
    assert install_hint("/usr/bin/nobody-ships-this") == "Install it."


def test_missing_program_names_its_debian_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="`qemu-system-x86_64` was not found") as caught:
        run(["qemu-system-x86_64", "--version"])
    assert caught.value.hint == "Install it: sudo apt-get install qemu-system-x86"


def test_missing_directory_is_not_called_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="there is no such directory"):
        run(["true"], cwd=tmp_path / "nowhere")


def test_timeout() -> None:
    with pytest.raises(HostError, match=r"did not finish within 0\.1 s"):
        run(["sleep", "10"], timeout=0.1)


def test_stream_hands_over_lines_and_logs_all(tmp_path: Path) -> None:
    lines: list[str] = []
    log = tmp_path / "logs" / "build.log"
    stream(["sh", "-c", "echo one; echo two >&2"], log=log, on_line=lines.append)
    assert sorted(lines) == ["one", "two"]
    assert log.read_text().startswith("$ sh -c ")


def test_stream_failure_keeps_the_log(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    with pytest.raises(CommandFailed) as caught:
        stream(["sh", "-c", "echo doomed; exit 2"], log=log)
    assert caught.value.log == log
    assert caught.value.excerpt == "doomed"


def test_interrupted_stream_ends_the_whole_group(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"

    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stream(
            ["sh", "-c", f"sleep 60 & echo $! > {pid_file}; echo started; wait"],
            log=tmp_path / "log",
            on_line=interrupt,
        )
    assert_gone(int(pid_file.read_text()))


def test_a_child_that_ignores_sigterm_is_killed() -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    end_group(child, grace=0.2)
    assert child.returncode == -9


def assert_gone(pid: int) -> None:
    for _ in range(100):
        stat = Path(f"/proc/{pid}/stat")
        try:
            if stat.read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return
        except FileNotFoundError:
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} still runs")
