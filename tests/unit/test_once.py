# SPDX-License-Identifier: Apache-2.0
"""What takes time happens once: a text is parsed once, a file read once, a metric worked out once.

Calls are counted, from the first trial of a run to its summary, its report and a comparison.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from helpers.synthetic_runs import FOOTPRINT, FakeGuestRun

from driver.cli.views.summary import summary
from driver.compare.comparison import compare_runs
from driver.counters import by_path
from driver.experiment import measured
from driver.experiment.conclusion import Conclusion, read_conclusion
from driver.experiment.lifecycle import rebuild
from driver.experiment.measured import MeasuredTrial
from driver.htmlreport.page import render
from driver.results import tidy
from driver.results.directory import RunDirectory
from driver.results.record import read_raw

SMALL = {"processes": ["1", "2"], "gib": ["1"], "entry": ["4K"]}


def counting(calls: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def count(*arguments: Any, **named: Any) -> Any:
        calls[name] += 1
        return function(*arguments, **named)

    return count


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the text of each source was parsed."""
    calls: Counter[str] = Counter()
    counted = {
        path: replace(source, parse=counting(calls, path, source.parse))
        for path, source in by_path().items()
    }
    monkeypatch.setattr(tidy, "by_path", lambda: counted)
    return calls


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each CSV file was read."""
    calls: Counter[str] = Counter()
    read_csv = pd.read_csv

    def count(path: Path, **named: Any) -> Any:
        calls[path.name] += 1
        return read_csv(path, **named)

    monkeypatch.setattr("driver.results.reader.pd.read_csv", count)
    return calls


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the metrics of each trial were worked out."""
    calls: Counter[str] = Counter()

    def count(trial: str, *rest: Any) -> MeasuredTrial:
        calls[trial] += 1
        return MeasuredTrial(trial, *rest)

    monkeypatch.setattr(measured, "MeasuredTrial", count)
    return calls


def sampled(conclusion: Conclusion) -> Mapping[str, int]:
    """How many texts of each source the trials of a run hold."""
    raw = (read_raw(conclusion.directory, str(name)) for name in conclusion.run.trials["trial"])
    return Counter(sample.source for result in raw for sample in result.samples)


def test_each_text_of_a_trial_is_parsed_once(tmp_path: Path, parsed: Counter[str]) -> None:
    conclusion = FakeGuestRun(tmp_path, only=SMALL).run()
    assert sum(parsed.values()) > 0
    assert parsed == sampled(conclusion)


def test_a_run_that_goes_on_parses_what_an_earlier_driver_left_once(
    tmp_path: Path, parsed: Counter[str]
) -> None:
    bench = FakeGuestRun(tmp_path, only=SMALL)
    conclusion = bench.run()
    before = conclusion.run.samples
    gone = next(conclusion.directory.trials.iterdir())
    gone.unlink()
    parsed.clear()
    again = bench.run(conclusion.directory)
    assert parsed == sampled(again)
    assert again.run.samples.equals(before)


def test_tables_made_again_from_the_raw_texts_are_the_same(
    tmp_path: Path, parsed: Counter[str]
) -> None:
    """What was parsed while the trials ran is what their raw texts hold."""
    conclusion = FakeGuestRun(tmp_path, only=SMALL).run()
    files = [conclusion.directory.samples_csv, conclusion.directory.trials_csv]
    before = [path.read_bytes() for path in files]
    parsed.clear()
    rebuild(conclusion.directory)
    assert [path.read_bytes() for path in files] == before
    assert parsed == sampled(conclusion)


def test_a_run_is_read_once_and_its_metrics_are_worked_out_once(
    tmp_path: Path, tables: Counter[str], evaluated: Counter[str]
) -> None:
    conclusion = FakeGuestRun(tmp_path, only=SMALL).run()
    each = {str(name): 1 for name in conclusion.run.trials["trial"]}
    assert tables == {"trials.csv": 1, "samples.csv": 1, "checks.csv": 1}
    assert set(conclusion.run.checks["verdict"]) == {"holds"}, "as they are on disk"
    summary(conclusion)
    render(conclusion)
    compare_runs(conclusion, conclusion)
    assert evaluated == each
    assert tables == {"trials.csv": 1, "samples.csv": 1, "checks.csv": 1}


def test_a_run_that_is_looked_at_is_read_once(
    tmp_path: Path, tables: Counter[str], evaluated: Counter[str]
) -> None:
    made = FakeGuestRun(tmp_path, only=SMALL, experiment=FOOTPRINT).run()
    tables.clear()
    evaluated.clear()
    conclusion = read_conclusion(RunDirectory(made.directory.path))
    summary(conclusion)
    render(conclusion)
    assert tables == {"trials.csv": 1, "samples.csv": 1, "checks.csv": 1}
    assert set(evaluated.values()) == {1}
    assert len(evaluated) == len(conclusion.run.finished)
