# SPDX-License-Identifier: Apache-2.0
"""The summary a person sees: everything in eighty columns, nothing cut off."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun
from rich.console import Console

from driver.cli.views.summary import summary
from driver.errors import GuestSplat
from driver.experiment.conclusion import Conclusion
from driver.guest.job import Job
from driver.text import quantity


def text_of(conclusion: Conclusion, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(summary(conclusion))
    return captured.get()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2101248, "B", "2,101,248 B"),
        (2101247.9999999995, "B", "2,101,248 B"),
        (2101247.99, "B", "2,101,247.99 B"),
        (0.5, "faults", "0.50 faults"),
        (0.0, "B", "0 B"),
        (None, "B", "none"),
    ],
)
def test_quantities(value: float | None, unit: str, text: str) -> None:
    assert quantity(value, unit) == text


def test_the_widest_footprint_table_fits_eighty_columns(tmp_path: Path) -> None:
    text = text_of(FakeGuestRun(tmp_path, only={"gib": ["1", "8"]}).run())
    assert "…" not in text
    rows = [line.split() for line in text.splitlines()]
    assert ["4K", "1", "baseline", "off", "2,052", "4,104", "8,208", "16,416", "32,832",
            "131,328", "525,312"] in rows  # fmt: skip
    assert ["4K", "1", "patched", "on", *["2,052"] * 7] in rows
    assert ["4K", "patched", "off", "2,101,248", "B", "2,101,248", "B", "holds"] in rows
    assert ["2M", "patched", "on", "0", "B", "0", "B", "holds"] in rows
    assert "60 of 60 trials finished" in text


def test_failing_rows_are_shown_and_counted(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only={"processes": ["1", "2", "4", "8"], "gib": ["1"]})
    for factory in bench.factories.values():
        factory.leak = 2
    text = text_of(bench.run(), width=100)
    assert "Checks that do not hold" in text
    assert "8,192 B" in text
    assert text.count("\ngone ") == 6
    assert "and 36 more" in text


def test_a_refuted_prediction_shows_its_finding(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only={"processes": ["1", "8"], "gib": ["1"]})
    for factory in bench.factories.values():
        factory.collisions = 40
    conclusion = bench.run()
    assert conclusion.complaint() is None, "a refuted prediction is a result, not a failure"
    text = " ".join(text_of(conclusion).split())
    assert "refuted" in text
    assert "depends on the scheduler" in text


def test_failed_trials_leave_gaps_not_zeros(tmp_path: Path) -> None:
    bench = FakeGuestRun(
        tmp_path, only={"processes": ["1", "2"], "gib": ["1"], "kernel": ["baseline"]}
    )

    def splat(job: Job) -> None:
        if "2" in job.argv:
            raise GuestSplat("oops", kind="oops")

    next(iter(bench.factories.values())).misbehave = splat
    text = text_of(bench.run())
    assert ["4K", "1", "baseline", "off", "2,052"] in [line.split() for line in text.splitlines()]
    assert "2 of 4 trials finished" in text
