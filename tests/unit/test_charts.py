# SPDX-License-Identifier: Apache-2.0
"""Labels of curves: they must not overlap anything, and must be true."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from analysis.charts import Panel, change, without_overlap
from analysis.plots import figure
from analysis.reply.wording import against, listed, signed
from driver.text import decimal


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999.4, "999"),
        (1776, "1.78 k"),
        (19_000_000, "19 M"),
        (2_376_585, "2.38 M"),
        (-1500, "-1.5 k"),
        (1.72e9, "1.72 G"),
    ],
)
def test_counts_for_people(value: float, text: str) -> None:
    assert decimal(value) == text


def test_names_that_do_not_touch_stay_where_the_curves_end() -> None:
    assert without_overlap([0.9, 0.1, 0.5], [0.1, 0.1, 0.1]) == [0.9, 0.1, 0.5]


@pytest.mark.parametrize(
    "wanted",
    [
        [0.5, 0.5, 0.5],
        [0.50, 0.52, 0.9, 0.91],
        [0.3, 0.1, 0.2, 0.15, 0.95],
        # Two that touch are pushed into a third that neither had touched.
        [0.40, 0.41, 0.51],
    ],
)
def test_names_that_would_touch_move_apart_and_keep_their_order(wanted: list[float]) -> None:
    size = 0.1
    places = without_overlap(wanted, [size] * len(wanted))
    assert sorted(range(len(wanted)), key=wanted.__getitem__) == sorted(
        range(len(wanted)), key=places.__getitem__
    )
    in_order = sorted(places)
    gaps = [high - low for low, high in pairwise(in_order)]
    assert min(gaps) >= size - 1e-9
    assert sum(places) == pytest.approx(sum(wanted)), "all of them drifted to one side"


def test_a_panel_names_its_curves_and_marks_what_was_measured() -> None:
    _, axes = figure(1)
    panel = Panel(axes[0], "title", "processes")
    panel.curve("shared 10", "#0072B2", [1, 4, 16], [10, 10, 10])
    panel.curve("one each 160", "#D55E00", [1, 4, 16], [10, 40, 160], theory=lambda n: 10 * n)
    panel.curve("", "#D55E00", [1, 4, 16], [10, 41, 160], hollow=True)
    panel.level("to make one", 30)
    panel.close()
    assert {text.get_text() for text in axes[0].texts} == {
        "shared 10",
        "one each 160",
        "to make one: 30",
    }
    assert list(axes[0].get_xticks()) == [1, 4, 16]
    theory = axes[0].lines[2].get_ydata()
    assert np.asarray(theory).tolist() == [10, 40, 160], (
        "the line is that of the theory, not through the points"
    )


@pytest.mark.parametrize(
    ("before", "after", "drawn", "written"),
    [
        (100, 100, "the same", "the same"),
        (100, 101.3, "+1.3 %", "1.3 % more"),
        (100, 60, "\N{MINUS SIGN}40.0 %", "40.0 % fewer"),
        (100, 952, "9.52x as many", "9.52x as many"),
        (411, 1, "411x fewer", "411x fewer"),
        (0, 0, "", "the same"),
        (0, 5, "+5", "+5"),
    ],
)
def test_how_much_more_or_less(before: float, after: float, drawn: str, written: str) -> None:
    assert change(before, after) == drawn
    assert against(after, before) == written


def test_small_words() -> None:
    assert [signed(value) for value in (61.2, -974, 0.2)] == ["+61", "\N{MINUS SIGN}974", "0"]
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
