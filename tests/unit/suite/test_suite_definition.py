# SPDX-License-Identifier: Apache-2.0
"""``suite.toml``, and the experiment that is made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.errors import UserError
from driver.experiment.plan import Selection, make_plan
from driver.suite.definition import load
from driver.suite.experiment import experiment_of

SUITE = """\
description = "Two programs."
format = "ktap"
directory = "/opt/my tests"
before = ["ulimit -c 0"]
timeout = 30
counters = ["pgfault"]

[files]
"/opt/my tests" = "built"

[programs]
quick = { argv = ["./quick", "--all"] }
"slow-one" = { argv = ["./slow", "a b", "{{ kernel }}"], timeout = 600, format = "status" }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine/built").mkdir(parents=True)
    (tmp_path / "mine/suite.toml").write_text(SUITE)
    return tmp_path


def test_one_trial_for_each_kernel_and_program(folder: Path) -> None:
    found = load(folder, "mine")
    definition = experiment_of(found, "my-series")
    trials = make_plan(definition.experiment, Selection(only={}))
    assert [trial.id for trial in trials] == [
        "baseline_quick_r1",
        "baseline_slow-one_r1",
        "patched_quick_r1",
        "patched_slow-one_r1",
    ]
    by_name = {trial.id: trial for trial in trials}
    quick, slow = by_name["baseline_quick_r1"], by_name["patched_slow-one_r1"]
    assert list(quick.job.argv[-2:]) == ["./quick", "--all"]
    assert list(slow.job.argv[-3:]) == ["./slow", "a b", "patched"]
    assert (quick.job.timeout, slow.job.timeout) == (30, 600)
    assert slow.guest.kernel.series == "my-series"
    assert "cd '/opt/my tests' || exit\nulimit -c 0\n" in quick.job.argv[2]
    assert definition.experiment.files == {"/opt/my tests": str(folder / "mine/built")}


def test_a_folder_of_ones_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    cases = load(folder / "none-here", "mine").suite.cases
    assert (cases.format, cases.formats) == ("ktap", {"slow-one": "status"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('format = "ktap"', 'format = "tapp"', "'tapp' is not possible"),
        ("quick = {", '"a/b" = {', "'a/b' cannot be a name"),
        ('"./quick", "--all"', "", "argv"),
        ('"/opt/my tests" =', '"opt" =', "'opt' is not a folder of the guest"),
        ('"/opt/my tests" =', '"/" =', "'/' is not a folder of the guest"),
        ('= "built"', '= "absent"', "there is no folder"),
        ("timeout = 30", 'volatile = ["("]', "'(' is not a regular expression"),
        ("timeout = 30", "timeout = 0", "timeout"),
        ("timeout = 30", "time_out = 30", "unknown key 'time_out'"),
    ],
)
def test_mistakes(folder: Path, old: str, new: str, message: str) -> None:
    path = folder / "mine/suite.toml"
    path.write_text(SUITE.replace(old, new))
    with pytest.raises(UserError) as caught:
        load(folder, "mine")
    assert message in caught.value.message
    assert caught.value.hint


def test_there_is_no_such_suite(folder: Path) -> None:
    with pytest.raises(UserError, match="no suite called 'mien'") as caught:
        load(folder, "mien")
    assert "mine" in str(caught.value.hint)
    (folder / "empty").mkdir()
    with pytest.raises(UserError, match=r"has no suite\.toml"):
        load(folder, str(folder / "empty"))
