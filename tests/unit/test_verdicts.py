# SPDX-License-Identifier: Apache-2.0
"""Checks, fits and predictions on runs whose truth is known."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun

from driver.experiment.definition import Assertion, Experiment, Fit, Prediction
from driver.experiment.measured import MeasuredTrial
from driver.experiment.verdicts import Verdicts, judge
from driver.results.verdict import CONFIRMED, FAILS, HOLDS, NO_DATA, REFUTED, UNDECIDED

Measured = tuple[Experiment, list[MeasuredTrial]]
PAGE = 4096
ONLY = {"processes": ["1", "4", "16"], "gib": ["1", "2"]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    conclusion = FakeGuestRun(tmp_path_factory.mktemp("run"), only=ONLY).run()
    return conclusion.experiment, conclusion.trials


def with_assertion(experiment: Experiment, table: str, item: Assertion) -> Experiment:
    return experiment.model_copy(update={table: (item,)})


def test_theory_holds_for_a_kernel_that_follows_it(measured: Measured) -> None:
    found = judge(*measured)
    assert not found.failures
    assert {row.verdict for row in found.rows} == {HOLDS}
    assert set(found.predictions.values()) == {CONFIRMED}


def test_slopes_are_bytes_per_process_and_gib(measured: Measured) -> None:
    slopes = {
        (row.levels["entry"], row.levels["kernel"], row.levels["sharing"]): row.measured
        for row in judge(*measured).of("fit", "per_process_and_gib")
    }
    assert slopes == {
        ("2M", "baseline", "off"): PAGE,
        ("2M", "patched", "off"): PAGE,
        ("2M", "patched", "on"): 0,
        ("4K", "baseline", "off"): 513 * PAGE,
        ("4K", "patched", "off"): 513 * PAGE,
        ("4K", "patched", "on"): 0,
    }


def test_a_leak_of_one_page_is_a_failing_check(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only={"processes": ["2"], "gib": ["1"], "kernel": ["baseline"]})
    next(iter(bench.factories.values())).leak = 1
    conclusion = bench.run()
    failing = {(row.name, row.measured) for row in conclusion.verdicts.failures}
    assert failing == {("gone", PAGE), ("audit_gone", PAGE)}
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == 1
    assert "4 of 10 checks" in complaint.message
    recorded = conclusion.run.checks.query("verdict == 'fails'")
    assert set(recorded["name"]) == {"gone", "audit_gone"}


def test_the_five_cases(tmp_path: Path) -> None:
    conclusion = FakeGuestRun(tmp_path, experiment="five-cases").run()
    assert conclusion.complaint() is None
    assert len(conclusion.verdicts.rows) > 100
    phases = conclusion.run.samples.groupby("mapping")["phase"].unique()
    assert "private-write" in set(phases["private"])
    assert "private-write" not in set(phases["shared"])


@pytest.mark.parametrize(
    ("relation", "expected", "relative", "verdict"),
    [
        ("==", "98", 0.0, FAILS),
        ("==", "98", 0.03, HOLDS),
        ("==", "102", 0.019, FAILS),
        ("==", "102", 0.02, HOLDS),
        ("<=", "100", 0.0, HOLDS),
        ("<=", "99", 0.0, FAILS),
        (">=", "101", 0.0, FAILS),
        (">=", "101", 0.01, HOLDS),
    ],
)
def test_relations_and_tolerance(
    measured: Measured, relation: str, expected: str, relative: float, verdict: str
) -> None:
    item = Assertion.model_validate(
        {
            "name": "probe",
            "claim": "a hundred",
            "measured": "100",
            "expected": expected,
            "relation": relation,
            "relative": relative,
            "unit": "pages",
        }
    )
    experiment = with_assertion(measured[0], "checks", item)
    rows = judge(experiment, measured[1]).of("check", "probe")
    assert {row.verdict for row in rows} == {verdict}


def probe(measured: str, where: str = "true") -> Assertion:
    return Assertion(
        name="probe", claim="x", where=where, measured=measured, expected="1", unit="pages"
    )


def test_a_number_that_is_missing_fails_a_check_and_says_which(
    measured: Measured,
) -> None:
    item = probe("meminfo('SharedPageTables', 'touched')", "kernel == 'baseline'")
    found = judge(with_assertion(measured[0], "checks", item), measured[1])
    assert {row.verdict for row in found.of("check")} == {NO_DATA}
    assert len(found.failures) == len(found.of("check"))
    assert "meminfo has no 'SharedPageTables'" in found.failures[0].reason


@pytest.mark.parametrize(
    ("text", "where", "verdict"),
    [
        ("1", "true", CONFIRMED),
        ("2", "true", REFUTED),
        ("1 if processes < 16 else 2", "true", REFUTED),
        ("1", "processes > 100", UNDECIDED),
        ("value('nothing', 'touched')", "true", UNDECIDED),
    ],
)
def test_predictions(measured: Measured, text: str, where: str, verdict: str) -> None:
    prediction = Prediction.model_validate(probe(text, where).model_dump())
    experiment = with_assertion(measured[0], "predictions", prediction)
    found: Verdicts = judge(experiment, measured[1])
    assert found.predictions == {"probe": verdict}
    assert not [row for row in found.failures if row.kind == "prediction"]


def test_a_slope_needs_two_points(tmp_path: Path) -> None:
    conclusion = FakeGuestRun(tmp_path, only={"processes": ["4"], "gib": ["1"]}).run()
    fits = conclusion.verdicts.of("fit")
    assert fits
    assert {row.verdict for row in fits} == {NO_DATA}
    assert conclusion.complaint() is None


@pytest.mark.parametrize(
    ("quantity", "against", "reason"),
    [
        ("meminfo('SharedPageTables', 'touched')", "processes", "meminfo has no 'SharedPageT"),
        ("growth", "entry", "`entry` is '2M', not a number"),
    ],
)
def test_a_number_that_is_missing_fails_a_fit_and_says_which(
    measured: Measured, quantity: str, against: str, reason: str
) -> None:
    fit = Fit(
        name="probe", claim="x", where="kernel == 'baseline'", measured=quantity, against=against,
        by=("entry",), expected="0", unit="B",
    )  # fmt: skip
    found = judge(with_assertion(measured[0], "fits", fit), measured[1])
    rows = found.of("fit")
    assert {row.verdict for row in rows} == {NO_DATA}
    assert found.failures == rows
    assert reason in rows[0].reason


def test_a_fit_groups_by_what_it_says(measured: Measured) -> None:
    fit = Fit(
        name="all", claim="x", measured="growth", against="processes", by=(), expected="0",
        absolute="1e12", unit="B",
    )  # fmt: skip
    rows = judge(with_assertion(measured[0], "fits", fit), measured[1]).of("fit")
    assert [row.subject for row in rows] == ["all"]
