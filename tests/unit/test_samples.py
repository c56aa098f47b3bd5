# SPDX-License-Identifier: Apache-2.0
"""Which runs may be committed as samples, and that they replace older ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
from helpers.synthetic_runs import FOOTPRINT, FakeGuestRun

from analysis import sample, tidy
from analysis.load import NoRun, load_run, load_runs

ONLY = {"processes": ["1", "2"], "gib": ["1"], "entry": ["2M"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FakeGuestRun(tmp_path_factory.mktemp("results"), only=ONLY).run().directory.path


def edit(path: Path, column: str, value: str) -> None:
    table = pd.read_csv(path, dtype=str)
    table.loc[0, column] = value
    table.to_csv(path, index=False)


def test_a_sample_is_the_tables_of_a_run_and_takes_the_place_of_the_last(
    finished: Path, tmp_path: Path
) -> None:
    older = tmp_path / f"{FOOTPRINT}-20200101T000000Z"
    other = tmp_path / "five-cases-20200101T000000Z"
    for place in (older, other):
        place.mkdir()
    kept = sample.keep(finished, tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([kept, other])
    assert {path.name for path in kept.iterdir()} == set(sample.FILES)
    assert len(load_run(kept).finished) == len(load_run(finished).finished)
    assert sample.keep(kept, tmp_path) == kept, "a sample is its own sample"
    assert len(load_run(kept).finished) > 0


def test_a_run_that_is_not_whole_or_not_right_is_no_sample(finished: Path, tmp_path: Path) -> None:
    for number, (table, column, value, said) in enumerate(
        [
            ("trials.csv", "verdict", "timeout", "trials finished"),
            ("checks.csv", "verdict", "fails", "a check does not hold"),
        ]
    ):
        run = tmp_path / str(number) / finished.name
        shutil.copytree(finished, run)
        edit(run / table, column, value)
        with pytest.raises(sample.NoSample, match=said):
            sample.keep(run, tmp_path)


def test_a_run_that_every_clone_would_carry_is_small(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MOST_BYTES", 1000)
    with pytest.raises(sample.NoSample, match="the limit is 1,000"):
        sample.keep(finished, tmp_path)
    assert not list(tmp_path.iterdir())


def test_runs_are_found_by_experiment(finished: Path) -> None:
    runs = load_runs([FOOTPRINT], finished)
    assert runs[FOOTPRINT].name == finished.name
    with pytest.raises(NoRun, match="not of five-cases"):
        load_runs(["five-cases"], finished)


def test_one_number_is_picked_by_its_levels(finished: Path) -> None:
    run = load_run(finished)
    levels: dict[str, tidy.Level] = {"kernel": "patched", "sharing": "on", "processes": 2}
    faults = tidy.number(run, "minor-faults-sum", "touched", **levels)
    by_phase = tidy.by_phase(run, "value", "minor-faults-sum")
    chosen = by_phase.query("kernel == 'patched' and sharing == 'on' and processes == 2")
    assert list(chosen["value"]) == [faults]
    with pytest.raises(tidy.NotSampled, match="with processes=3"):
        tidy.number(run, "minor-faults-sum", "touched", processes=3)
