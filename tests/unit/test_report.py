# SPDX-License-Identifier: Apache-2.0
"""The reporter: quiet where a program reads, sparing where a log is kept."""

from __future__ import annotations

import io
import time

import pytest

from driver.progress import PlainReporter, open_reporter


def test_plain_progress_prints_tenths_and_the_end() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.step("compile")
    for done in range(1, 1001):
        reporter.progress(done, 1000, "objects")
    lines = stream.getvalue().splitlines()
    assert lines[0] == "compile"
    assert lines[1] == "compile: 100/1000 objects"
    assert lines[-1] == "compile: 1000/1000 objects"
    assert len(lines) == 11


def test_plain_progress_past_an_estimate_is_not_a_line_per_call() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.step("compile")
    for done in range(1, 1041):
        reporter.progress(done, max(1000, done), "objects")
    assert len(stream.getvalue().splitlines()) == 11


def test_plain_progress_without_a_total_is_not_a_line_per_call() -> None:
    stream = io.StringIO()
    reporter = PlainReporter(stream)
    reporter.step("unpack")
    for done in range(1000):
        reporter.progress(done, None)
    assert stream.getvalue() == "unpack\n"


def test_nothing_reaches_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter() as reporter:
        reporter.step("build")
        reporter.progress(1, 1, "objects")
        reporter.note("the network is down")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == ["build", "build: 1/1 objects", "note: the network is down"]


def test_silent_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with open_reporter(silent=True) as reporter:
        reporter.step("build")
        reporter.note("anything")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_terminal_bar_has_no_colour_when_no_color_is_set(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("driver.progress._is_terminal", lambda: True)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("FORCE_COLOR", "1")
    with open_reporter() as reporter:
        reporter.step("link [vmlinux]")
        reporter.progress(3, 4, "objects")
        reporter.note("[bold] is text here")
    captured = capsys.readouterr()
    assert "link [vmlinux]" in captured.err
    assert "[bold] is text here" in captured.err
    assert "\x1b[3" not in captured.err  # no colour code; cursor movement is allowed


def test_a_step_that_nobody_counts_shows_no_count(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("driver.progress._is_terminal", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")  # a dumb one, as in cron, has no bar
    with open_reporter() as reporter:
        reporter.step("booting the guest")
        time.sleep(0.25)  # the bar is drawn ten times a second
    uncounted = capsys.readouterr().err
    assert "booting the guest" in uncounted
    assert "/?" not in uncounted
    with open_reporter() as reporter:
        reporter.step("compiling")
        reporter.progress(3, 4, "objects")
        time.sleep(0.25)
    assert "3/4" in capsys.readouterr().err
