# SPDX-License-Identifier: Apache-2.0
"""The command's manners: defaults from a file, colour, quiet, completion, the version."""

from __future__ import annotations

import errno
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.command_line import status_of

from driver import __version__
from driver.cli import context, settings, settings_schema
from driver.cli.main import _explained, command
from driver.errors import HostError
from driver.project import Project
from driver.store import Store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("DRIVER_CONFIG", str(path))
    monkeypatch.setenv("DRIVER_PROJECT", str(ROOT))
    for variable in settings.ENVIRONMENT.values():
        # Set and taken away again, so that what the file sets is undone as well.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    return path


def every_command() -> list[Any]:
    """The driver itself and all that is below it."""
    found = [command()]
    for each in found:
        found += getattr(each, "commands", {}).values()
    return found


class TestDefaults:
    PLAN = ("run", "experiment", "five-cases", "--dry-run")

    def test_stand_in_for_options(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config.write_text("[run.experiment]\nquick = true\nonly = ['sharing=on']\nrepeat = 3\n")
        assert status_of(*self.PLAN) == 0
        assert "6 trials in 3 rounds" in capsys.readouterr().out

    def test_give_way_to_the_command_line(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.write_text("[run.experiment]\nquick = true\nrepeat = 3\n")
        assert status_of(*self.PLAN, "--repeat", "1") == 0
        assert "in 1 round;" in capsys.readouterr().out

    def test_may_apply_to_part_of_a_command(
        self, config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """--jobs is refused for an image, but a default for kernels is not meant for it."""

        def build_image(*_: object) -> None:
            raise HostError("it got that far")

        monkeypatch.setattr("driver.api.build.image.build_image", build_image)
        config.write_text("[build]\njobs = 3\n")
        assert status_of("build", "image") == 3
        assert "it got that far" in capsys.readouterr().err

    def test_set_what_the_environment_does_not(
        self, config: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config.write_text("cache-folder = '~/elsewhere'\ncache-limit = '20G'\n")
        monkeypatch.setenv("DRIVER_CACHE_LIMIT", "1G")
        assert status_of("list") == 0
        assert os.environ["DRIVER_CACHE"] == str(Path("~/elsewhere").expanduser())
        assert os.environ["DRIVER_CACHE_LIMIT"] == "1G"

    def test_name_a_project_for_where_there_is_none(
        self, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DRIVER_PROJECT")
        monkeypatch.chdir(tmp_path)
        assert status_of("list") == 2
        config.write_text(f"project = '{ROOT}'\n")
        assert status_of("list") == 0
        assert context.project() == Project(ROOT)

    @pytest.mark.parametrize(
        ("text", "message", "hint"),
        [
            ("[build]\njobs = 2\njbos = 8\n", ":3: build.jbos: unknown key 'jbos'", "'jobs'?"),
            ("queit = true\n", ":1: queit: unknown key 'queit'", "Did you mean 'quiet'?"),
            ("[run.expriment]\n", ":1: run.expriment: unknown key 'expriment'", "'experiment'?"),
            (
                "\n[build]\njobs = 0\n",
                ":3: build.jobs: it should be at least 1",
                "set-defaults",
            ),
            (
                "[build]\njobs = 'all'\n",
                ":2: build.jobs: it should be an integer",
                "set-defaults.md",
            ),
            (
                "[run.experiment]\naccel = 'kvn'\n",
                ":2: run.experiment.accel: 'kvn' is not possible",
                "Did you mean 'kvm'? Possible here: auto, tcg, icount, kvm, exact.",
            ),
            ("[run]\nresume = 'latest'\n", ":2: run.resume: unknown key 'resume'", ""),
            ("[shell]\nattach = 'x'\n", ":2: shell.attach: unknown key 'attach'", ""),
            ("quiet = 'yes, please'\n", ":1: quiet: it should be true or false", "describes"),
            ("[build\n", " is not valid TOML: Expected", "Correct the line"),
        ],
    )
    def test_a_mistake_names_the_line(
        self, config: Path, text: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.write_text(text)
        assert status_of("list") == 2
        error = capsys.readouterr().err
        assert f"error: {config}{message}" in error
        assert hint in error

    def test_a_file_that_was_named_has_to_be_there(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.unlink()
        assert status_of("list") == 2
        assert f"error: {config} cannot be read: No such file" in capsys.readouterr().err

    def test_a_mistake_keeps_nobody_from_the_help(
        self, config: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config.write_text("quite = true\n")
        assert status_of("build", "--help") == 0
        assert "--jobs" in capsys.readouterr().out

    def test_every_option_of_every_command_has_a_type(self) -> None:
        """Or it would be dropped from the schema, and its default refused."""
        for each in every_command():
            declared = {
                option.removeprefix("--")
                for parameter in each.params
                for option in parameter.opts
                if option.startswith("--")
            }
            fields = settings_schema.schema(each).model_fields.values()
            known = {field.alias for field in fields}
            assert declared <= known | {*settings_schema.NO_DEFAULTS}, each.name


def test_every_command_is_summed_up_in_half_a_line() -> None:
    """The lists of commands show no more of it on eighty columns; the rest would be cut off."""
    _, *commands = every_command()
    cut = [each.name for each in commands if each.get_short_help_str(59).endswith("...")]
    assert cut == []


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("--version") == 0
    assert capsys.readouterr().out == f"driver {__version__}\n"


class TestTerminal:
    """What is written where: a program of its own, since it depends on what its streams are."""

    def run(self, *arguments: str, terminal: bool, **environment: str) -> tuple[bytes, int]:
        """What the command writes to standard error, which is a terminal or a pipe."""
        ours, theirs = pty.openpty() if terminal else os.pipe()
        child = subprocess.Popen(
            [sys.executable, "-m", "driver.cli.main", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=theirs,
            env={**os.environ, "DRIVER_CONFIG": "", "TERM": "xterm", **environment},
            cwd=ROOT,
        )
        os.close(theirs)
        written = b""
        try:
            while chunk := os.read(ours, 4096):
                written += chunk
        except OSError:  # a terminal that closes
            pass
        os.close(ours)
        return written, child.wait()

    def test_a_terminal_gets_colour(self) -> None:
        written, status = self.run("show", "nothing", terminal=True, NO_COLOR="")
        assert (b"\x1b[31m" in written, status) == (True, 2)

    @pytest.mark.parametrize(
        ("terminal", "no_color", "term"),
        [(True, "1", "xterm"), (True, "", "dumb"), (False, "", "xterm")],
    )
    def test_who_wants_no_colour_gets_none(self, terminal: bool, no_color: str, term: str) -> None:
        written, status = self.run(
            "show", "nothing", terminal=terminal, NO_COLOR=no_color, TERM=term
        )
        assert (b"\x1b" in written, status) == (False, 2)
        assert written.startswith(b"error: ")

    @pytest.mark.parametrize("quiet", [False, True])
    def test_a_pipe_gets_lines_and_quiet_gets_none(self, tmp_path: Path, quiet: bool) -> None:
        arguments = ["--quiet", "doctor"] if quiet else ["doctor"]
        machine = {"DRIVER_CACHE": str(tmp_path), "PATH": "/nowhere"}
        written, status = self.run(*arguments, terminal=False, **machine)
        assert (b"Checking the tools\n" in written) is not quiet
        assert (b"\r" in written, b"error: missing on this machine" in written) == (False, True)
        assert status == 3

    def test_verbose_shows_where_an_error_came_from(self) -> None:
        written, status = self.run("--verbose", "show", "nothing", terminal=False)
        assert b"Traceback (most recent call last)" in written
        assert status == 2


class TestCompletion:
    def complete(self, line: str) -> list[str]:
        """What bash would offer at the end of a line, with our own script asking."""
        words = line.split(" ")
        told = subprocess.run(
            [sys.executable, "-m", "driver.cli.main"],
            env={
                **os.environ,
                "DRIVER_CONFIG": "",
                "_DRIVER_COMPLETE": "complete_bash",
                "COMP_WORDS": line,
                "COMP_CWORD": str(len(words) - 1),
            },
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        return told.stdout.split()

    @pytest.mark.parametrize(
        ("line", "offered"),
        [
            ("driver do", ["doctor"]),
            ("driver run experiment five", ["five-cases"]),
            ("driver build --series smaps", ["smaps-page-tables"]),
            ("driver shell --variant debug-", ["debug-info"]),
        ],
    )
    def test_offers_commands_and_names(self, line: str, offered: list[str]) -> None:
        assert self.complete(line) == offered

    def test_a_script_for_the_shell_is_printed(self) -> None:
        """For the shell it is asked from, which typer finds among the parents."""
        line = f"{sys.executable} -m driver.cli.main --show-completion; true"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
        assert "_DRIVER_COMPLETE" in done.stdout, done.stderr

    def test_a_shell_that_asks_for_it_gets_it(self, tmp_path: Path) -> None:
        """Typed as it is in the documentation; the shell is found out from who asks."""
        line = f"{sys.executable} -m driver.cli.main --install-completion; true"
        environment = {**os.environ, "HOME": str(tmp_path), "DRIVER_CONFIG": ""}
        done = subprocess.run(
            ["bash", "-c", line], env=environment, capture_output=True, text=True, check=True
        )
        assert "bash completion installed" in done.stdout, done.stderr
        assert "driver" in (tmp_path / ".bashrc").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["build", "image", "--variant", "debug"], "--variant does not apply"),
        (["build", "kernel", "--image", "dax"], "--image does not apply"),
        (["shell", "--attach", "x", "--memory", "512"], "it takes no other option"),
        (["shell", "--attach", "x", "true"], "it takes no other option"),
        (["shell", "--console", "true"], "leave --console out"),
        (["patch", "check", "--no-build", "--jobs", "2"], "--jobs does not apply"),
        (["patch", "check", "--no-build", "--full"], "--full does not apply"),
        (["run", "--keep-guest", "experiment", "five-cases"], "needs --resume"),
        (["compare", "a", "b", "--json", "--csv"], "exclude each other"),
        (["compare", "a", "b", "--json", "--all"], "leave --all out"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(
    config: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config.write_text("")
    assert status_of(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "path"),
    [([], "driver"), (["run"], "driver run"), (["patch"], "driver patch")],
)
def test_who_asks_for_nothing_is_told_what_there_is(
    config: Path, arguments: list[str], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"Usage: {path} [OPTIONS]")
    assert (captured.out, "error:" in captured.err, "hint:" in captured.err) == ("", False, False)


@pytest.mark.parametrize(
    ("arguments", "message", "path"),
    [
        (["build", "kernle"], "'kernle' is not one of", "driver build"),
        (["build", "--jobs"], "Option '--jobs' requires an argument.", "driver build"),
        (["-q", "run", "experiment", "list", "--only"], "requires", "driver run experiment"),
        (["run", "experiment", "--accel", "run"], "'run' is not one of", "driver run experiment"),
        (["show", "show", "show"], "unexpected extra argument", "driver show"),
        (["doctor", "--jsno"], "No such option: --jsno", "driver doctor"),
    ],
)
def test_a_usage_that_is_wrong_leads_to_the_help_of_its_command(
    config: Path,
    arguments: list[str],
    message: str,
    path: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status_of(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Value error" not in error
    assert error.endswith(f"hint: Run `{path} --help`.\n")


class TestWhatTheSystemRefuses:
    def test_a_cache_that_cannot_be_made(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Below a file: that no user can, root included."""
        (tmp_path / "file").touch()
        root = tmp_path / "file/cache"
        monkeypatch.setenv("DRIVER_CACHE", str(root))
        with pytest.raises(OSError, match="Not a directory") as refused:
            Store().scratch("logs")
        assert refused.value.filename is not None
        told = _explained(refused.value)
        assert told.message.startswith(f"cannot use the cache: {tmp_path}/file")
        assert told.hint == "Set DRIVER_CACHE to a writable directory."

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EIO])
    def test_anything_else_is_named_and_comes_with_a_hint(self, number: int) -> None:
        told = _explained(OSError(number, os.strerror(number), "/srv/run/report.html"))
        assert told.message == f"/srv/run/report.html: {os.strerror(number)}"
        assert told.hint

    def test_a_cache_is_not_blamed_for_its_neighbours(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "cache"))
        error = OSError(errno.EACCES, "Permission denied", str(tmp_path / "cache-of-another"))
        assert "the cache" not in _explained(error).message
