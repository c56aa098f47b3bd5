# SPDX-License-Identifier: Apache-2.0
"""What an experiment may ask beyond one trial: another trial's numbers, slopes, an accelerator."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.synthetic_runs import FOOTPRINT, PROJECT, FakeGuestRun

from driver.api import experiments
from driver.api.plans import ExperimentPlan
from driver.cli.main import main
from driver.counters import sources
from driver.counters.source import Reading, UnreadableSource
from driver.errors import UserError
from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import Metric, Prediction
from driver.experiment.load import Definition, parse
from driver.experiment.measured import measured_trials
from driver.experiment.verdicts import CheckRow, judge
from driver.results.verdict import CONFIRMED, FAILS, HOLDS, REFUTED, UNDECIDED

PAGE = 4096
ONLY = {"processes": ["1", "4", "16"], "gib": ["1"], "entry": ["2M"]}
TEXT = (PROJECT / "experiments" / FOOTPRINT / "experiment.toml").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Conclusion:
    return FakeGuestRun(tmp_path_factory.mktemp("run"), only=ONLY).run()


def predict(run: Conclusion, /, **item: object) -> tuple[str, list[CheckRow]]:
    prediction = Prediction.model_validate({"name": "probe", "claim": "x", "unit": "B", **item})
    experiment = run.experiment.model_copy(update={"predictions": (prediction,)})
    found = judge(experiment, measured_trials(run.run, experiment.metrics, run.directory))
    return found.predictions["probe"], found.of("prediction")


def test_a_trial_is_held_against_another_one(measured: Conclusion) -> None:
    verdict, rows = predict(
        measured,
        where="sharing == 'on'",
        measured="growth * processes",
        expected="elsewhere('growth', sharing='off')",
    )
    assert verdict == CONFIRMED
    assert [row.expected for row in rows] == [PAGE, 4 * PAGE, 16 * PAGE]
    verdict, rows = predict(
        measured,
        where="kernel == 'patched'",
        measured="growth",
        expected="elsewhere('growth', kernel='baseline', sharing='off')",
    )
    assert verdict == REFUTED
    assert {row.verdict for row in rows} == {HOLDS, FAILS}


def test_without_the_other_trial_nothing_is_decided(measured: Conclusion) -> None:
    verdict, rows = predict(
        measured,
        where="sharing == 'off'",
        measured="growth",
        expected="elsewhere('growth', processes=2)",
    )
    assert verdict == UNDECIDED
    assert "no finished trial like" in rows[0].reason
    assert "processes=2" in rows[0].reason


def test_a_metric_the_other_trial_lacks_is_explained(measured: Conclusion) -> None:
    text = TEXT.replace(
        "[metrics.growth]",
        "[metrics.shared]\nvalue = \"meminfo('SharedPageTables', 'gone')\"\nunit = \"B\"\n\n"
        "[metrics.growth]",
    )
    experiment = parse(FOOTPRINT, Path("x"), text).experiment
    verdict, rows = predict(
        replace(measured, experiment=experiment),
        where="kernel == 'patched'",
        measured="0",
        expected="elsewhere('shared', kernel='baseline', sharing='off')",
    )
    assert verdict == UNDECIDED
    assert "meminfo has no 'SharedPageTables'" in rows[0].reason


def test_a_prediction_may_be_about_slopes(measured: Conclusion) -> None:
    slope: dict[str, object] = {
        "measured": "growth",
        "against": "processes",
        "by": ["kernel", "sharing"],
    }
    verdict, rows = predict(
        measured, **slope, expected=f"0 if sharing == 'on' else {PAGE}", absolute="0.5"
    )
    assert verdict == CONFIRMED
    assert [row.subject for row in rows] == [
        "kernel=baseline sharing=off",
        "kernel=patched sharing=off",
        "kernel=patched sharing=on",
    ]
    verdict, rows = predict(measured, **slope, expected="1", where="processes == 4")
    assert verdict == UNDECIDED
    assert "two different values" in rows[0].reason


@pytest.mark.parametrize(
    ("expected", "message", "hint"),
    [
        ("elsewhere('grwth', sharing='off')", "unknown metric 'grwth'", "'growth'?"),
        ("elsewhere('growth', shering='off')", "unknown factor 'shering'", "'sharing'?"),
        ("elsewhere('growth', processes=3)", "no level 3", "Possible here: 1, 2, 4"),
        ("elsewhere(sharing='off')", "takes one metric", None),
        ("elswhere('growth')", "unknown name 'elswhere'", "'elsewhere'?"),
    ],
)
def test_a_mistake_about_another_trial_is_found_early(
    expected: str, message: str, hint: str | None
) -> None:
    with pytest.raises(UserError, match=message) as error:
        _with(f'expected = "{expected}"')
    assert hint is None or hint in str(error.value.hint)


def test_groups_without_a_slope_are_a_mistake() -> None:
    with pytest.raises(UserError, match="only slopes are grouped"):
        _with('expected = "1"\nby = ["entry"]')
    with pytest.raises(UserError, match="unknown factor 'entr'"):
        _with('expected = "1"\nagainst = "gib"\nby = ["entr"]')
    with pytest.raises(UserError, match="unknown name 'growth'"):
        _with('expected = "growth"\nagainst = "gib"\nby = ["entry"]')
    with pytest.raises(UserError, match="is reserved"):
        parse("x", Path("x"), TEXT.replace("[factors.gib]", "[factors.elsewhere]"))


def _with(lines: str) -> Definition:
    table = '[[predictions]]\nname = "p"\nclaim = "c"\nmeasured = "growth"\nunit = "B"\n'
    return parse("x", Path("x"), f"{TEXT}\n{table}{lines}\n")


@pytest.mark.parametrize(("options", "expected"), [([], "icount"), (["--accel", "tcg"], "tcg")])
def test_the_experiment_says_which_accelerator_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], expected: str
) -> None:
    folder = tmp_path / "experiments" / "paths"
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(f'accelerator = "exact"\n{TEXT}', encoding="utf-8")
    for name in ("kernel-patches", "guest-images"):
        (tmp_path / name).symlink_to(PROJECT / name)
    monkeypatch.setenv("DRIVER_PROJECT", str(tmp_path))
    asked: list[str] = []

    def prepare(planned: ExperimentPlan, *_: object) -> None:
        asked.append(planned.accel)
        raise UserError("far enough")

    monkeypatch.setattr(experiments, "prepare", prepare)
    with pytest.raises(SystemExit):
        main(["run", "experiment", "paths", "--quick", *options])
    assert asked == [expected]


INTERRUPTS = """            CPU0       CPU1
  4:        120          3   IO-APIC   4-edge      ttyS0
 24:          0          0  PCI-MSIX-0000:00:02.0   0-edge      virtio0-config
LOC:       1000       2000   Local timer interrupts
TLB:          7          5   TLB shootdowns
ERR:          0
"""


def test_interrupts_are_summed_over_processors() -> None:
    found = {reading.metric: reading for reading in sources()["interrupts"].parse(INTERRUPTS)}
    assert found["TLB"] == Reading("TLB", "events", 12)
    assert found["4"] == Reading("4", "events", 123)
    assert found["ERR"] == Reading("ERR", "events", 0)
    assert found["LOC"] == Reading("LOC", "ticks", 3000), "no count under emulation"
    assert len(found) == 5


@pytest.mark.parametrize("text", ["", "TLB: 1\n", "CPU0\nTLB 1\n", "CPU0\nTLB: none\n"])
def test_another_text_is_no_table_of_interrupts(text: str) -> None:
    with pytest.raises(UnreadableSource):
        sources()["interrupts"].parse(text)


def test_an_instruments_table_is_asked_for_by_cells(measured: Conclusion) -> None:
    """The sum of a column over the rows of this trial, or no data."""
    trials = list(measured.run.finished["trial"])
    rows = "".join(
        f"x,{trial},{phase},model,cost,user,walk,,,{number}\n"
        for number, trial in enumerate(trials[1:], 1)
        for phase in ("touched", "touched", "gone")
    )
    header = "run,trial,phase,model,window,space,event,level,served,count\n"
    (measured.directory.path / "page_walks.csv").write_text(header + rows)
    expression = "observed('page_walks', 'count', 'touched', event='walk')"
    metrics = {"walks": Metric(value=expression, unit="count", label="walks")}
    found = measured_trials(measured.run, metrics, measured.directory)
    assert [trial.names.get("walks") for trial in found[1:]] == [
        2 * number for number in range(1, len(trials))
    ]
    assert "no instrument watched it" in found[0].missing["walks"]
    none = Metric(value=expression.replace("'walk'", "'miss'"), unit="count", label="none")
    assert measured_trials(measured.run, {"none": none}, measured.directory)[1].names["none"] == 0
    absent = Metric(value="observed('functions', 'calls', 'touched')", unit="count", label="")
    missing = measured_trials(measured.run, {"absent": absent}, measured.directory)[1].missing
    assert "has no table of functions.csv" in missing["absent"]


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("observed('page_walk', 'count', 'touched')", "no instrument makes a table 'page_walk'"),
        ("observed('page_walks', 'counts', 'touched')", "page_walks has no column 'counts'"),
        ("observed('page_walks', 'count', 'touch')", "announces no phase 'touch'"),
        ("observed('page_walks', 'count', 'gone', events='x')", "has no column 'events'"),
        ("observed('page_walks', 'count')", "takes a table, a column and a phase"),
    ],
)
def test_a_mistake_in_asking_is_found_before_anything_runs(formula: str, message: str) -> None:
    text = f'{TEXT}\n[metrics.asked]\nvalue = "{formula}"\nunit = "count"\nlabel = "x"\n'
    with pytest.raises(UserError, match=re.escape(message)):
        parse(FOOTPRINT, Path("experiment.toml"), text)
