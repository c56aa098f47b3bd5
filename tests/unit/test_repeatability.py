# SPDX-License-Identifier: Apache-2.0
"""Which trials repeat, found from the files of finished runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.synthetic_runs import PROJECT, FakeGuestRun

from driver.cli.main import main
from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.record import TrialRecord
from driver.results.repeatability import repeatability, slowdown
from driver.validity import Accelerator, Validity

EXACT = Validity(Accelerator.ICOUNT, 3)
ONLY = {"kernel": ["baseline"], "processes": ["1", "4"], "gib": ["1"], "entry": ["2M"]}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("kernel-patches", "guest-images", "experiments"):
        (tmp_path / folder).symlink_to(PROJECT / folder)
    monkeypatch.setenv("DRIVER_PROJECT", str(tmp_path))
    return tmp_path / "results"


def exact_run(results: Path, repeat: int = 2, jobs: int = 1) -> RunDirectory:
    bench = FakeGuestRun(results, only=ONLY, repeat=repeat, validity=EXACT, digest_nvdimm=True)
    return bench.run(bench.begin(jobs)).directory


def alter(run: RunDirectory, number: int, **changes: object) -> None:
    """Make a record say something else."""
    path = sorted(run.trials.iterdir())[number]
    record = TrialRecord.model_validate_json(path.read_text())
    path.write_text(record.model_copy(update=changes).model_dump_json())


def test_rounds_and_runs_that_agree(results: Path) -> None:
    runs = [exact_run(results), exact_run(results, repeat=3, jobs=2)]
    groups = repeatability(runs)
    assert [(group.factors["processes"], group.trials) for group in groups] == [(1, 5), (4, 5)]
    assert all(group.repeats for group in groups)
    assert set(groups[0].digests) == {"console", "result", "nvdimm"}
    # Those of the second run ran side by side: their seconds tell nothing.
    assert [len(group.seconds) for group in groups] == [2, 2]


@pytest.mark.parametrize("what", ["console", "result", "nvdimm"])
def test_one_that_differs(results: Path, what: str) -> None:
    run = exact_run(results, repeat=3)
    path = sorted(run.trials.iterdir())[0]
    digests = json.loads(path.read_text())["digests"]
    alter(run, 0, digests={**digests, what: "another"})
    groups = repeatability([run])
    assert [group.repeats for group in groups] == [False, True]
    assert len(groups[0].digests[what]) == 2


def test_other_accelerators_are_groups_of_their_own(results: Path) -> None:
    ordinary = FakeGuestRun(results, only=ONLY, repeat=2).run().directory
    exact = exact_run(results)
    for number in range(4):
        for run, seconds in ((ordinary, 1.0), (exact, 2.5)):
            path = sorted(run.trials.iterdir())[number]
            record = TrialRecord.model_validate_json(path.read_text())
            attempt = record.last.model_copy(update={"host_seconds": seconds})
            alter(run, number, attempts=[attempt])
    groups = repeatability([ordinary, exact])
    assert [group.accelerator.value for group in groups] == ["tcg", "tcg", "icount", "icount"]
    assert groups[0].digests == {}
    assert [slowdown(groups, group) for group in groups] == [None, None, 2.5, 2.5]


def test_failed_trials_do_not_count(results: Path) -> None:
    run = exact_run(results)
    path = sorted(run.trials.iterdir())[0]
    record = TrialRecord.model_validate_json(path.read_text())
    alter(run, 0, attempts=[record.last.model_copy(update={"verdict": "lost"})])
    assert [group.trials for group in repeatability([run])] == [1, 2]


def test_runs_of_different_experiments_are_not_compared(results: Path) -> None:
    other = FakeGuestRun(
        results, only={"kernel": ["baseline"]}, experiment="five-cases", validity=EXACT
    )
    with pytest.raises(UserError, match="differ in their experiment"):
        repeatability([exact_run(results), other.run().directory])


def test_the_command(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def status_of(*arguments: str) -> object:
        with pytest.raises(SystemExit) as left:
            main(["repeatability", *arguments])
        return left.value.code

    run = exact_run(results)
    assert status_of(run.name, "latest") == 0
    row = capsys.readouterr().out.splitlines()[2].split()
    assert row[-8:-1] == ["2", "1", "1", "1", "1", "0", row[-2]]
    alter(run, 0, digests={"console": "another"})
    assert status_of("latest") == 1
    assert "1 of 2 kinds of trials under icount does not repeat" in capsys.readouterr().err
    for record in run.trials.iterdir():
        record.unlink()
    assert status_of("latest") == 2
    assert "none of these runs has the record of a finished trial" in capsys.readouterr().err
