# SPDX-License-Identifier: Apache-2.0
"""Trials that should have agreed: which one is the outlier, and what happens to it."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun

from driver.experiment.outliers import MAX_RETRIES, disturbed, outliers
from driver.guest.job import Job
from driver.progress import SilentReporter
from driver.results.reader import read_run
from driver.results.record import Attempt, TrialRecord, read_record
from driver.validity import Accelerator, Validity

ONLY = {"processes": ["1"], "gib": ["1"], "entry": ["2M"], "sharing": ["off"]}
EXACT = Validity(Accelerator.ICOUNT, 3)


def record(repeat: int, digest: str, *, verdict: str = "ok", level: int = 1) -> TrialRecord:
    return TrialRecord(
        id=f"{level}_r{repeat}",
        sequence=repeat,
        repeat=repeat,
        factors={"level": level},
        argv=["true"],
        attempts=[Attempt(verdict=verdict, host_seconds=1.0)],
        digests={"result": digest} if digest else {},
    )


@pytest.mark.parametrize(
    ("outcomes", "odd"),
    [
        ("a", []),
        ("aaaa", []),
        ("abaa", [1]),
        ("abca", [1, 2]),
        ("ab", [0, 1]),
        ("aabb", [0, 1, 2, 3]),
        ("aabbc", [0, 1, 2, 3, 4]),
    ],
)
def test_the_odd_ones_are_few_or_all(outcomes: str, odd: list[int]) -> None:
    found = outliers(record(number, letter) for number, letter in enumerate(outcomes))
    assert [item.repeat for item in found] == odd


def test_other_trials_and_failed_ones_have_no_say() -> None:
    others = [record(0, "b", level=2), record(0, "b", verdict="lost"), record(1, "")]
    assert outliers([record(2, "a"), record(3, "a"), *others]) == []


def test_an_attempt_that_is_doubted_stays_on_record() -> None:
    before = record(0, "a")
    after = disturbed(before)
    assert not after.ok
    assert after.last.host_seconds == before.last.host_seconds
    assert (before.last.verdict, after.last.verdict) == ("ok", "disturbed")


@pytest.mark.parametrize(("repeat", "again"), [(3, [2]), (2, [1, 2])])
def test_what_differs_from_other_rounds_is_run_again(
    repeat: int, again: list[int], tmp_path: Path
) -> None:
    bench = FakeGuestRun(
        tmp_path, only={**ONLY, "kernel": ["baseline"]}, repeat=repeat, validity=EXACT
    )
    (factory,) = bench.factories.values()
    leaks = iter([1, *(0 for _ in range(10))])

    def disturb_the_second(_job: Job) -> None:
        factory.leak = next(leaks)  # of the next guest

    factory.misbehave = disturb_the_second
    conclusion = bench.run()
    assert conclusion.complaint() is None
    records = [read_record(conclusion.directory, trial.id) for trial in bench.plan]
    verdicts = [[attempt.verdict for attempt in found.attempts] for found in records if found]
    assert verdicts == [
        ["disturbed", "ok"] if number in again else ["ok"] for number in range(1, repeat + 1)
    ]
    assert len({str(found.digests) for found in records if found}) == 1
    assert len(read_run(conclusion.directory.path).trials) == repeat


def test_rounds_that_never_agree_are_named(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only={**ONLY, "kernel": ["baseline"]}, repeat=2, validity=EXACT)
    (factory,) = bench.factories.values()
    notes: list[str] = []

    class Listening(SilentReporter):
        def note(self, text: str) -> None:
            notes.append(text)

    def never_twice_the_same(_job: Job) -> None:
        factory.leak += 1

    factory.misbehave = never_twice_the_same
    directory = bench.run(reporter=Listening()).directory
    for trial in bench.plan:
        found = read_record(directory, trial.id)
        assert found is not None
        assert [attempt.verdict for attempt in found.attempts] == [
            *["disturbed"] * MAX_RETRIES,
            "ok",
        ]
    assert len(notes) == MAX_RETRIES + 1
    assert notes[-1].startswith(
        f"still different from the other rounds after {MAX_RETRIES} retries"
    )
    assert all(trial.id in notes[-1] for trial in bench.plan)
    assert directory.name in notes[-1]
