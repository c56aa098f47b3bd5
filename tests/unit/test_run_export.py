# SPDX-License-Identifier: Apache-2.0
"""Runs as JSON and as JUnit's XML: what scripts and CI systems read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers.command_line import status_of
from helpers.synthetic_runs import FakeGuestRun

from driver.api import run_as_junit
from driver.errors import CheckFailed, GuestLost
from driver.experiment.conclusion import Conclusion
from driver.guest.job import Job
from driver.suite import junit


@pytest.fixture
def conclusion(tmp_path: Path) -> Conclusion:
    return FakeGuestRun(tmp_path / "results", only={"processes": ["1"]}).run()


def test_json_has_what_the_tables_have(
    conclusion: Conclusion, capsys: pytest.CaptureFixture[str]
) -> None:
    status = status_of("show", str(conclusion.directory.path), "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["exit_status"] == status
    assert found["run"] == conclusion.directory.name
    assert [trial["trial"] for trial in found["trials"]] == list(conclusion.run.trials["trial"])
    first = next(trial for trial in found["trials"] if trial["verdict"] == "ok")
    measured = next(trial for trial in conclusion.trials if trial.id == first["trial"])
    assert first["factors"] == measured.factors
    assert first["metrics"]
    for name, value in first["metrics"].items():
        assert value == measured.names[name]
        assert found["units"][name]
    assert len(found["checks"]) == len(conclusion.verdicts.rows)
    assert found["predictions"] == conclusion.verdicts.predictions


def test_junit_has_each_trial_check_and_prediction(
    conclusion: Conclusion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.xml"
    status_of("show", str(conclusion.directory.path), "--junit", str(path))
    assert capsys.readouterr().out, "the summary is printed, too"
    cases = junit.parse(path.read_text()).cases
    named = [case.name.partition(" > ")[0] for case in cases]
    verdicts = conclusion.verdicts
    assert named.count("trials") == len(conclusion.run.trials)
    assert named.count("checks") == len(verdicts.asserted)
    assert named.count("predictions") == len(verdicts.of("prediction"))
    failed = [case for case in cases if case.verdict == "not ok"]
    assert len(failed) == len(conclusion.failed) + len(verdicts.failures)


def test_what_failed_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    fake = FakeGuestRun(tmp_path / "results", only={"processes": ["1"], "gib": ["1"]})

    def dies(job: Job) -> None:
        if "4K" in job.argv:
            raise GuestLost("the guest is gone")

    for factory in fake.factories.values():
        factory.misbehave = dies
    cases = junit.parse(run_as_junit(fake.run())).cases
    lost = [case for case in cases if case.verdict == "not ok" and case.name.startswith("trials")]
    assert lost
    assert all("the guest is gone" in case.note for case in lost)


def test_a_check_that_fails_shows_both_numbers(conclusion: Conclusion, tmp_path: Path) -> None:
    text = conclusion.directory.samples_csv.read_text().replace(",PageTables,", ",Pages,")
    conclusion.directory.samples_csv.write_text(text)
    path = tmp_path / "results.xml"
    status = status_of("show", str(conclusion.directory.path), "--junit", str(path))
    assert status == CheckFailed.exit_status
    failures = [case for case in junit.parse(path.read_text()).cases if case.verdict == "not ok"]
    assert failures
    assert all(case.note for case in failures)
