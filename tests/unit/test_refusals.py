# SPDX-License-Identifier: Apache-2.0
"""What a refusal says: the task that failed, the place, the reason, and what to do about it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.documentation import ROOT
from helpers.synthetic_runs import EXPERIMENT, LINE, SyntheticRun

from analysis import render
from driver.cli import main as cli
from driver.cli.output_files import check_output_file
from driver.errors import HostError, UserError
from driver.experiment import expression
from driver.experiment.load import parse
from driver.experiment.plan import Selection, make_plan
from driver.kernel.kconfig_fragment import Fragment
from driver.paths import expanded
from driver.process import CommandFailed, explaining, run
from driver.results.reader import read_run
from driver.results.record import read_record
from driver.text import as_written, counted, enumerated, reason, share, verb


def test_a_command_that_fails_says_first_what_it_was_for() -> None:
    with (
        pytest.raises(CommandFailed) as caught,
        explaining("check out the source"),
        explaining("ask git for its tree"),
    ):
        run(["sh", "-c", "echo fatal: no; exit 128"])
    assert str(caught.value) == caught.value.message
    assert caught.value.message.startswith("cannot ask git for its tree: `sh -c ")
    assert caught.value.message.endswith("` exited with status 128")
    assert caught.value.excerpt == "fatal: no"


def test_other_errors_are_not_explained_as_commands() -> None:
    with pytest.raises(UserError, match=r"^no such thing$"), explaining("build it"):
        raise UserError("no such thing", hint="Name another.")


@pytest.mark.parametrize("path", ["~no-such-user/linux", "~no-such-user"])
def test_a_home_directory_of_nobody(path: str) -> None:
    with pytest.raises(UserError, match="there is no user 'no-such-user'"):
        expanded(path)
    assert expanded("~/linux") == Path.home() / "linux"


def test_a_name_that_is_too_long_is_the_fault_of_who_typed_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(["show", "x" * 300])
    assert left.value.code == UserError.exit_status
    assert "too long for the file system: xxx" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--keys", "--insecure"])
def test_no_option_before_an_experiment_is_ignored(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [option] if option == "--insecure" else [option, "my keys"]
    with pytest.raises(SystemExit) as left:
        cli.main(["run", *words, "experiment", "five-cases"])
    assert left.value.code == UserError.exit_status
    printed = capsys.readouterr().err
    assert f"{option} before the experiment needs --resume" in printed
    typed = option if option == "--insecure" else "--keys 'my keys'"
    assert f"driver run experiment NAME {typed}\n" in printed


def test_a_default_is_not_an_option_that_somebody_misplaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text('[run]\ncluster = "local:2"\n')
    monkeypatch.setenv("DRIVER_CONFIG", str(tmp_path / "config.toml"))
    with pytest.raises(SystemExit):
        cli.main(["run", "experiment", "no-such-experiment"])
    assert "there is no experiment called" in capsys.readouterr().err


def test_options_that_do_not_go_together_are_no_invalid_value(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for words in (["compare", "a", "b", "--csv", "--json"], ["compare", "a", "b", "--per", "f"]):
        with pytest.raises(SystemExit) as left:
            cli.main(words)
        assert left.value.code == UserError.exit_status
    printed = capsys.readouterr().err
    assert "error: --json and --csv exclude each other\n" in printed
    assert "error: --per goes with --functions\n" in printed


def test_a_combination_without_a_kernel_is_named_as_it_is_typed() -> None:
    experiment = parse("made", Path("made"), EXPERIMENT).experiment
    arms = dict(experiment.factors["kernel"].arms)
    last = list(arms)[-1]
    arms[last] = arms[last].model_copy(update={"kernel": None})
    factor = experiment.factors["kernel"].model_copy(update={"arms": arms})
    broken = experiment.model_copy(update={"factors": {**experiment.factors, "kernel": factor}})
    with pytest.raises(UserError, match=rf"combination kernel={last} .*names 0 kernels") as caught:
        make_plan(broken, Selection(only={"kernel": [last]}))
    assert "{" not in caught.value.message


def test_a_damaged_record_says_which_key_and_how_to_run_the_trial_again(tmp_path: Path) -> None:
    made = SyntheticRun(tmp_path / "my runs" / "a", LINE).write()
    record = next(made.trials.glob("*.json"))
    record.write_text(record.read_text().replace('"verdict"', '"verdikt"', 1))
    with pytest.raises(UserError, match=r"attempts\.0\.verdict: it is missing") as caught:
        read_record(made, record.stem)
    hint = str(caught.value.hint)
    assert f"rm '{record}' && driver run --resume a" in hint


def test_a_damaged_table_says_how_to_make_it_again(tmp_path: Path) -> None:
    made = SyntheticRun(tmp_path / "my runs" / "a", LINE).write()
    made.samples_csv.write_text(made.samples_csv.read_text().replace(",1\n", ",one\n"))
    made.trials_csv.write_text("nothing\n1\n")
    with pytest.raises(UserError, match="has the columns nothing, not ") as caught:
        read_run(made.path)
    assert str(caught.value.hint).endswith(f"driver show '{made.path}' --rebuild")


def test_a_fragment_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "mine.config"
    path.write_bytes(b"CONFIG_A=y\n# \xff\n")
    with pytest.raises(UserError, match=r"mine\.config:2: the byte 0xff is not UTF-8 text"):
        Fragment.read(path)


def test_a_mistake_in_a_fragment_is_found_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.config"
    path.write_text("CONFIG_A=y\nCONFIG_B\n")
    with pytest.raises(UserError) as caught:
        Fragment.read(path).requests()
    assert caught.value.message.startswith(f"{path}:2: ")


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    check_output_file(tmp_path / "x.xml", "x.xml")
    with pytest.raises(UserError, match="is a directory"):
        check_output_file(tmp_path, "x.xml")
    with pytest.raises(UserError, match="there is no directory") as caught:
        check_output_file(tmp_path / "not there/x.xml", "x.xml")
    assert str(caught.value.hint).endswith(f"mkdir -p '{tmp_path}/not there'")


def test_analysis_prints_hints_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert render.main([str(tmp_path)]) == UserError.exit_status
    assert capsys.readouterr().err == (
        f"error: {tmp_path} is not a run: it has no manifest.json\n"
        "hint: List the runs: driver list\n"
    )


def test_another_release_needs_a_suite_and_mmdebstrap(tmp_path: Path) -> None:
    script = str(ROOT / ".ci/on-debian")
    bash = shutil.which("bash") or "bash"
    without = subprocess.run([bash, script], capture_output=True, text=True, check=False)
    assert (without.returncode, without.stderr[:6]) == (2, "usage:")
    for name, printed in {"dirname": ROOT / ".ci", "id": 0}.items():  # as root; nothing else lacks
        (tmp_path / name).write_text(f"#!{bash}\necho {printed}\n")
        (tmp_path / name).chmod(0o755)
    absent = subprocess.run(
        [bash, script, "trixie"], capture_output=True, text=True, check=False,
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
    )  # fmt: skip
    assert absent.returncode == HostError.exit_status
    assert "apt-get install mmdebstrap" in absent.stderr


def test_numbers_and_words_agree() -> None:
    assert [share(1, 1, "trial"), share(0, 2, "check")] == ["1 of 1 trial", "0 of 2 checks"]
    assert [verb(number, "does", "do") for number in (0, 1, 2)] == ["do", "does", "do"]
    assert [enumerated(list("abcd"), most) for most in (4, 2)] == ["a, b, c, d", "a, b and 2 more"]
    assert counted(1, "patch") == "1 patch"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("1G", "'1G'"),
        (True, "true"),
        (None, "null"),
        ([1, "a"], '[1, "a"]'),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_values_look_as_they_are_written(value: object, shown: str) -> None:
    assert as_written(value) == shown


def test_an_expression_without_a_value_is_undefined() -> None:
    for evaluated in (expression.number, expression.truth):
        with pytest.raises(expression.ExpressionError, match=r"^`growth` is undefined$"):
            evaluated("growth", {})


def test_reasons_are_without_terms_of_python(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such") as missing:
        (tmp_path / "x").read_text()
    assert reason(missing.value) == "No such file or directory"
    assert reason(missing.value, file=True) == f"{tmp_path / 'x'}: No such file or directory"
    assert reason(TimeoutError()) == "TimeoutError", "never nothing"
    assert reason(KeyError("kind")) == "the key 'kind' is missing"
