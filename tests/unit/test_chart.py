# SPDX-License-Identifier: Apache-2.0
"""Charts as geometry: every mark where it belongs."""

from __future__ import annotations

import pytest

from driver.htmlreport.axis import label, level_axis, value_axis
from driver.htmlreport.chart import ChartSeries, Point, draw


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "B", "0 B"),
        (4096, "B", "4 KiB"),
        (2101248, "B", "2.00 MiB"),
        (1 << 40, "B", "1 TiB"),
        (1000, "B", "1,000 B"),
        (-4096, "B", "-4 KiB"),
        (1500, "faults", "1.5 k"),
        (0.25, "faults", "0.25"),
        (3_000_000, "instructions", "3 M"),
    ],
)
def test_labels(value: float, unit: str, text: str) -> None:
    assert label(value, unit) == text


def test_counts_start_at_zero() -> None:
    axis = value_axis([100, 130], "faults")
    assert (axis.low, axis.logarithmic) == (0, False)
    assert axis.ticks[0] == 0
    assert axis.high >= 130
    assert axis.place(axis.high) == 1


def test_orders_of_magnitude_are_logarithmic() -> None:
    axis = value_axis([4096, 4096 * 64], "B")
    assert axis.logarithmic
    assert axis.ticks == tuple(4096.0 * 2**power for power in range(7))
    assert axis.place(4096 * 8) == pytest.approx(0.5)


def test_zero_has_no_logarithm() -> None:
    assert not value_axis([0, 1e6], "faults").logarithmic


@pytest.mark.parametrize("values", [[0.0], [5.0], [-3.0, 4.0], [1e12, 1e-3], [7.0, 7.0]])
def test_every_value_is_on_its_axis(values: list[float]) -> None:
    axis = value_axis(values, "faults")
    assert all(-1e-9 <= axis.place(value) <= 1 + 1e-9 for value in values)
    assert 2 <= len(axis.ticks) <= 12


def test_levels_are_the_ticks() -> None:
    assert level_axis([1, 2, 4, 8, 16, 32, 64]).ticks == (1, 2, 4, 8, 16, 32, 64)
    assert level_axis([1, 2, 3]).ticks == (1, 2, 3)
    assert len(level_axis([float(level) for level in range(100)]).ticks) <= 12
    assert level_axis([float(level) for level in range(100)]).ticks[-1] == 99


def test_marks_lie_on_the_line_of_what_they_equal() -> None:
    series = ChartSeries(
        0,
        "off",
        tuple(Point(float(x), 4096.0 * x, f"{x}") for x in (1, 2, 4, 64)),
        tuple((float(x), 4096.0 * x) for x in (1, 2, 4, 64)),
    )
    drawing = draw("panel", [series], x_label="processes", unit="B")
    (line,) = drawing.lines
    assert line.points == " ".join(f"{mark.x:g},{mark.y:g}" for mark in drawing.marks)
    assert drawing.marks[0].y == drawing.bottom, "the smallest value, at the axis"
    assert drawing.marks[-1].y == drawing.top
    assert drawing.left < drawing.marks[0].x < drawing.marks[-1].x < drawing.right
    assert "off: 4 KiB at 1, 256 KiB at 64" in drawing.description


def test_axes_that_are_looked_at_together_are_of_one_kind() -> None:
    assert value_axis([16.0, 256.0], "B", logarithmic=True).logarithmic
    assert not value_axis([4096.0, 4096.0 * 64], "B", logarithmic=False).logarithmic
    assert not value_axis([0.0, 256.0], "B", logarithmic=True).logarithmic
    flat = value_axis([4096.0, 4096.0], "B", logarithmic=True)
    assert flat.place(4096.0) == pytest.approx(0.5)


def test_predictions_of_each_repeat_are_spans_and_no_zigzag() -> None:
    """As those made by what another trial of the same repeat measured."""
    series = ChartSeries(1, "", (Point(1.0, 5.0, ""),), ((1.0, 4.0), (1.0, 9.0), (2.0, 3.0)))
    first, second = draw("", [series], x_label="x", unit="count").lines
    (x, y), (x_end, y_end) = (map(float, place.split(",")) for place in first.points.split())
    assert x == x_end, "upright"
    assert y > y_end
    ends = [float(place.split(",")[1]) for place in second.points.split()]
    assert ends[0] == ends[1], "a dash where all repeats agree"


def test_repeats_that_agree_are_one_mark() -> None:
    point = Point(1.0, 5.0, "the same")
    drawing = draw("", [ChartSeries(0, "", (point, point), ())], x_label="x", unit="pages")
    assert len(drawing.marks) == 1
    assert not drawing.lines
