# SPDX-License-Identifier: Apache-2.0
"""``driver logs``: finding a trial by the beginning of its name, and showing what it left."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
import typer.main
from helpers.synthetic_runs import LINE, Outcomes, SyntheticRun

from driver.cli import complete
from driver.cli.main import app, main
from driver.cli.views.trials import match
from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.record import Attempt, read_record
from driver.store import Store

NAMES = ["old_1_r1", "old_10_r1", "new_1_r1", "new_1_r2"]


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["logs", *(str(word) for word in arguments)])
    output = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, output.out, output.err


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run with a crashed trial, and a cache that knows none of its kernels."""
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "cache"))
    outcomes: Outcomes = {**LINE, ("new", 4): ["splat"]}
    return SyntheticRun(tmp_path / "run", outcomes).write()


@pytest.mark.parametrize(
    ("given", "name"), [("old_1_r1", "old_1_r1"), ("old_10", "old_10_r1"), ("new_1_r2", "new_1_r2")]
)
def test_the_beginning_of_a_name_will_do(given: str, name: str) -> None:
    assert match(given, NAMES, "a-run") == name


def test_a_name_that_begins_another_is_itself() -> None:
    assert match("a", ["a", "ab"], "a-run") == "a"


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("new", "2 trials begin with 'new'", "new_1_r1, new_1_r2"),
        ("odl_1_r1", "no trial called 'odl_1_r1'", "Did you mean old_1_r1"),
        ("10_r1", "no trial called", "Did you mean old_10_r1?"),
        ("zzz", "no trial called", "List its trials: driver logs a-run"),
    ],
)
def test_a_name_that_will_not_do(given: str, message: str, hint: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        match(given, NAMES, "a-run")
    assert hint in (caught.value.hint or "")


def test_the_trials_of_a_run(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = said(capsys, run.path)
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert ["old_1_r1", "ok", "1", "0.5"] in rows
    assert ["new_4_r1", "splat", "1", "0.5", "the", "kernel", "complained"] in rows
    _, out, _ = said(capsys, run.path, "--failed")
    assert "new_4_r1" in out
    assert "old_1_r1" not in out


def test_a_trial(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    path = run.trials / "new_4_r1.json"
    record = read_record(run, "new_4_r1")
    assert record is not None
    lost = Attempt(verdict="lost", message="QEMU ended", host_seconds=3.0)
    path.write_text(
        record.model_copy(
            update={"attempts": [lost, *record.attempts], "refused": ["done: a time"]}
        ).model_dump_json()
    )
    status, out, _ = said(capsys, run.path, "new_4")
    assert status == 0
    assert out.startswith("new_4_r1: splat\n  kernel=new size=4\n  command: work\n")
    assert "attempt 1 of 2: lost, the host was busy for 3.0 s\n    QEMU ended\n" in out
    assert "attempt 2 of 2: splat" in out
    assert "    | [    1.000001]  do_fault+0x12/0x34" in out
    assert "left out: done: a time" in out
    assert "console of attempt 2:\n[    0.1] Linux version" in out
    assert (
        "no longer in the cache; `driver build kernel --series dax-pt-share` makes it again" in out
    )


def test_a_kernel_that_cannot_be_read_costs_no_evidence(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel = Store(tmp_path / "cache").get(
        "kernel", {}, lambda work: {"n": (work / "vmlinux").write_text("no ELF file")}
    )
    manifest = run.manifest.read_text()
    run.manifest.write_text(manifest.replace('"digest": "feed"', f'"digest": "{kernel.digest}"'))
    status, out, _ = said(capsys, run.path, "new_4")
    assert status == 0
    assert "do_fault+0x12/0x34" in out
    assert "(no source lines: cannot read the symbols of" in out


def test_the_console_alone(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = said(capsys, run.path, "new_4_r1", "--console")
    assert out == (run.consoles / "new_4_r1.log").read_text()
    _, out, _ = said(capsys, run.path, "new_4_r1", "--console", "--lines", "1")
    assert out == "[    1.000001]  do_fault+0x12/0x34\n"


def test_what_was_not_run_or_left_behind(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    (run.trials / "old_1_r1.json").unlink()
    status, _, err = said(capsys, run.path, "old_1")
    assert status == 2
    assert "has not been finished" in err
    assert "--resume" in err
    (run.consoles / "old_2_r1.log").unlink()
    status, _, err = said(capsys, run.path, "old_2")
    assert status == 2
    assert "were not copied" in err
    assert ["old_1_r1", "not", "run"] in [
        line.split() for line in said(capsys, run.path)[1].splitlines()
    ]


@pytest.mark.parametrize("options", [["--lines", "3"], ["--console"], ["new_4", "--failed"]])
def test_no_option_is_ignored(
    run: RunDirectory, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    assert said(capsys, run.path, *options)[0] == 2


def test_show_ends_with_the_trace_and_where_to_look(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["show", str(run.path)])
    assert ended.value.code == 4
    err = capsys.readouterr().err
    assert "do_fault+0x12/0x34" in err
    assert "no longer in the cache" in err
    assert "driver logs run new_4_r1" in err


def test_names_of_trials_are_completed(run: RunDirectory) -> None:
    context = typer.Context(typer.main.get_command(app), info_name="logs")
    context.params["name"] = str(run.path)
    assert complete.trials(context, "old_") == ["old_1_r1", "old_2_r1", "old_4_r1"]
    context.params["name"] = "no such run"
    assert complete.trials(context, "") == []


def test_a_run_of_which_only_the_tables_are_left(
    run: RunDirectory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its trials were run, but the consoles of their guests are missing."""
    for path in (*run.trials.iterdir(), *run.consoles.iterdir()):
        path.unlink()
    status, out, _ = said(capsys, run.path)
    assert status == 0
    assert "not run" not in out
    assert "new_4_r1  splat" in out
    assert "old_1_r1" not in said(capsys, run.path, "--failed")[1]
    status, _, error = said(capsys, run.path, "old_1_r1")
    assert status == 2
    assert "the console of old_1_r1 is not part of this run, only its numbers are" in error
