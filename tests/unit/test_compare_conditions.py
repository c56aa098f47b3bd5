# SPDX-License-Identifier: Apache-2.0
"""``--fail-on``: when a comparison is a reason to fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_runs import LINE, Outcomes, compared, pages

from driver.compare.comparison import Comparison
from driver.compare.condition import findings, parse
from driver.errors import UserError


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """40 pages became 43 in one place, and 20 became 19 in another."""
    after = {**LINE, ("new", 4): pages(43), ("old", 2): pages(19)}
    return compared(tmp_path_factory.mktemp("runs"), LINE, after)


@pytest.mark.parametrize(
    ("condition", "rows"),
    [
        ("pages>7%", 1),
        ("pages>7.5%", 0),  # it is 7.5 %, and not more
        ("pages>2", 1),
        ("pages>3", 0),
        ("pages<-1%", 1),
        ("pages<0", 1),
        ("pages!=0", 2),
        ("p*>1%", 2),
        ("per_size > 10 %", 1),
        ("*!=0", 4),
    ],
)
def test_conditions(changed: Comparison, condition: str, rows: int) -> None:
    met = findings(changed, [parse(condition)])
    assert sum(len(finding.rows) for finding in met) == rows


def test_an_interval_must_be_beyond_the_limit_with_all_of_it(tmp_path: Path) -> None:
    noisy: Outcomes = {("old", 1): pages(9, 11, 10, 12, 8), ("new", 1): pages(10, 10, 10, 10, 10)}
    found = compared(
        tmp_path, noisy, {**noisy, ("old", 1): pages(19, 21, 20, 22, 18)}
    )  # 10 -> 20 pages, 10 -+ 2.3 more
    assert findings(found, [parse("pages>50%")])
    assert not findings(found, [parse("pages>90%")])
    assert findings(found, [parse("pages!=0")])


def test_what_cannot_be_checked_has_not_passed(tmp_path: Path) -> None:
    found = compared(tmp_path, LINE, {**LINE, ("new", 4): ["splat"]})
    (met,) = findings(found, [parse("pages>50%")])
    assert [item.lacking for item in met.rows] == ["B"]
    new = compared(tmp_path / "x", {**LINE, ("new", 4): ["splat"]}, LINE)
    assert not findings(new, [parse("pages>50%")])
    few = compared(tmp_path / "y", {("old", 1): pages(10, 12)}, {("old", 1): pages(20, 24)})
    assert few.rows[0].outcome == "undecided"
    assert findings(few, [parse("pages>50%")])


@pytest.mark.parametrize("text", ["pages", "pages>", ">1%", "pages>=1", "pages!=3", "pages>x"])
def test_a_condition_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UserError, match="--fail-on"):
        parse(text)


def test_a_number_that_does_not_exist(changed: Comparison) -> None:
    with pytest.raises(UserError, match="have no number called 'pagse' in common") as caught:
        findings(changed, [parse("pagse>1%")])
    assert "Did you mean 'pages'?" in (caught.value.hint or "")
