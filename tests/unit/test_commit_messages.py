# SPDX-License-Identifier: Apache-2.0
"""The check of commit messages: what it refuses, what it lets pass, and which commits it reads."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import check_commits
import pytest
from check_commits import SINCE

GOOD = "driver/guest: wait for the monitor\n\nA guest that is starting has none yet.\n"


@pytest.mark.parametrize(
    "message",
    [
        GOOD,
        GOOD + "\nSigned-off-by: A Person <person@example.org>\n",
        "driver, tests: feed QEMU's errors to the classifier\n\nThey were lost.",
        "mm/memory.c: express a limit as a constant\n\nIt was written twice.",
        'Revert "driver: wait for the monitor"\n\nThis reverts commit 0123456789ab.',
        f"tests: {'a' * 68}\n\nA subject of 75 columns.",
    ],
)
def test_a_message_that_keeps_the_rule(message: str) -> None:
    assert check_commits.problems(message) == []


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("wait for the monitor\n\nWhy.", "is not `area: imperative`"),
        ("Driver wait: for it\n\nWhy.", "is not `area: imperative`"),
        ("fixup! driver: wait for it\n\nWhy.", "is not `area: imperative`"),
        ("driver: waits for the monitor\n\nWhy.", "not 'waits'"),
        ("driver: waited for the monitor\n\nWhy.", "not 'waited'"),
        ("driver: waiting for the monitor\n\nWhy.", "not 'waiting'"),
        ("driver: the monitor is awaited\n\nWhy.", "not 'the'"),
        ("driver: wait for the monitor.\n\nWhy.", "full stop"),
        (f"tests: {'a' * 69}\n\nWhy.", "has 76 columns"),
        ("driver: wait for the monitor\nWhy.", "second line is not blank"),
        ("driver: wait for the monitor", "no body"),
        ("driver: wait for the monitor\n\nSigned-off-by: A <a@example.org>\n", "no body"),
    ],
)
def test_a_message_that_breaks_it(message: str, problem: str) -> None:
    (found,) = check_commits.problems(message)
    assert problem in found


def test_what_git_adds_to_a_message_is_not_part_of_it() -> None:
    text = f"{GOOD}\n# Please enter a message.\n# ------------------------ >8 ------\ndiff --git\n"
    assert check_commits.message_being_written(text) == GOOD.strip()


@pytest.mark.parametrize(
    ("text", "status"),
    [(GOOD, 0), ("driver: wait", 1), ("# only comments\n", 1), ("fixup! driver: wait", 0)],
)
def test_the_hook_reads_one_file(tmp_path: Path, text: str, status: int) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    file.write_text(text)
    assert check_commits.main([str(file)]) == status


@pytest.mark.parametrize("content", [None, b"driver: wait\n\nBecause of \xe4.\n"])
def test_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "COMMIT_EDITMSG"
    if content is not None:
        file.write_bytes(content)
    assert check_commits.main([str(file)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"check_commits: {file}: ")


def test_git_that_fails_is_an_error_of_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_commits, "ROOT", tmp_path)
    (tmp_path / ".git").write_text("gitdir: nowhere\n")
    assert check_commits.main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("check_commits: git log ")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a bad commit from before the rule, a good one, and a bad one since."""
    for name in ("GIT_AUTHOR", "GIT_COMMITTER"):
        monkeypatch.setenv(f"{name}_NAME", "A")
        monkeypatch.setenv(f"{name}_EMAIL", "a@example.org")
    monkeypatch.setattr(check_commits, "ROOT", tmp_path)
    check_commits.git("init", "-q")
    commit("before the rule", SINCE - timedelta(seconds=1))
    commit(GOOD)
    commit("a bad one\n\nWhy.")
    return tmp_path


def commit(message: str, written: datetime = SINCE) -> None:
    date = f"--date=@{int(written.timestamp())} +0000"
    check_commits.git("commit", "-q", "--allow-empty", date, "-m", message)


def test_commits_since_the_rule_are_checked(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check_commits.main([]) == 1
    printed = capsys.readouterr().err
    assert "a bad one" in printed
    assert "before the rule" not in printed
    check_commits.git("commit", "-q", "--amend", "--allow-empty", "-m", GOOD)
    assert check_commits.main([]) == 0


def test_a_shallow_clone_has_what_it_has(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    check_commits.git("clone", "-q", "--depth=1", f"file://{repository}", str(clone))
    monkeypatch.setattr(check_commits, "ROOT", clone)
    assert [message for _, message in check_commits.messages_since(SINCE)] == ["a bad one\n\nWhy."]


def test_an_archive_has_no_commits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_commits, "ROOT", tmp_path)
    assert check_commits.main([]) == 0
