# SPDX-License-Identifier: Apache-2.0
"""Comparing runs whose numbers are known: what is common, what changed, what must not be asked."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from helpers.synthetic_runs import EXPERIMENT, LINE, Outcomes, SyntheticRun, compared, costs, pages
from rich.console import Console

from driver.cli.main import main
from driver.cli.views.comparison import comparison_table
from driver.compare.comparison import ComparedRow, Comparison
from driver.compare.condition import findings, parse
from driver.compare.export import as_csv, as_json
from driver.errors import UserError
from driver.validity import Accelerator, Validity

EXACT = Validity(Accelerator.ICOUNT, 3)
KVM = Validity(Accelerator.KVM)


def row(comparison: Comparison, name: str, **levels: str) -> ComparedRow:
    (found,) = [
        row
        for row in comparison.rows
        if row.quantity.name == name and dict((*row.arm, *row.place)) == levels
    ]
    return found


def text_of(comparison: Comparison, *, everything: bool = False) -> str:
    console = Console(width=80, color_system=None)
    with console.capture() as captured:
        console.print(comparison_table(comparison, everything=everything))
    return captured.get()


def test_a_run_equals_itself(tmp_path: Path) -> None:
    found = compared(tmp_path, LINE, LINE)
    assert {row.outcome for row in found.rows} == {"equal"}
    assert found.names == ["pages", "per_size", "cost"], "theory is not measured"
    assert list(found.refused) == ["cost"], "emulation has none"
    assert (found.unmatched, found.circumstances, found.notes) == ([], [], [])
    assert "8 values compared: 8 equal" in text_of(found)


def test_a_change_by_hand(tmp_path: Path) -> None:
    found = compared(tmp_path, LINE, {**LINE, ("new", 4): pages(43)})
    changed = [row for row in found.rows if row.outcome == "changed"]
    assert len(changed) == 2
    point = row(found, "pages", kernel="new", size="4").difference
    assert point is not None
    assert (point.first, point.second, point.change, point.relative()) == (40, 43, 3, 0.075)
    slope = row(found, "per_size", kernel="new").difference
    assert slope is not None
    # x = 1, 2, 4: mean 7/3, deviations -4/3, -1/3, 5/3, squares add up to 42/9. Three pages more
    # at x = 4 tilt the line by 3 * (5/3) / (42/9) = 15/14.
    assert slope.first == 10
    assert slope.change == pytest.approx(15 / 14, abs=1e-12)
    assert row(found, "per_size", kernel="old").outcome == "equal"
    text = text_of(found)
    assert ["new", "4", "40", "43", "+3", "(+7.50", "%)", "changed,", "measured", "once"] in [
        line.split() for line in text.splitlines()
    ]
    assert "--repeat 3" in text


FACTORS = """
[factors.sharing.arms.off]
[factors.sharing.arms.on]
[factors.access.arms.write]

[factors.size]
"""


def test_no_number_is_broken_in_two(tmp_path: Path) -> None:
    """On eighty columns, with four factors and counts as `fault-saving` has them."""
    text = EXPERIMENT.replace("[factors.size]\n", FACTORS)
    sizes = {1: 1_095_224_489, 4: 1_247_937_238}
    first: Outcomes = {("new", size): pages(count) for size, count in sizes.items()}
    second: Outcomes = {("new", size): pages(count + 43) for size, count in sizes.items()}
    found = compared(
        tmp_path,
        SyntheticRun(tmp_path / "a", first, text=text),
        SyntheticRun(tmp_path / "b", second, text=text),
    )
    lines = text_of(found).splitlines()
    assert all(len(line) <= 80 for line in lines)
    told = [line for line in lines if "1,095,224,489 1,095,224,532 +43 (+0.00 %)" in line]
    assert len(told) == 2, "with sharing off and on"
    arms = [line for line in lines if line.split()[-5:] == ["0", "2", "+43", "(+0.00", "%)"]]
    assert len(arms) == 2, "likewise"
    assert "pages, in pages" in [line.rstrip() for line in lines]


def test_repeats_are_exact_or_have_an_interval(tmp_path: Path) -> None:
    steady, noisy = pages(10, 10, 10, 10), pages(9, 11, 10, 12)
    found = compared(
        tmp_path,
        {("old", 1): steady, ("new", 1): noisy},
        {("old", 1): pages(12, 12, 12, 12), ("new", 1): pages(29, 31, 30, 32)},
    )
    exact = row(found, "pages", kernel="old", size="1").difference
    varying = row(found, "pages", kernel="new", size="1").difference
    assert exact is not None
    assert varying is not None
    assert (exact.basis, exact.outcome) == ("exact", "changed")
    assert (varying.basis, varying.outcome, varying.change) == ("interval", "changed", 20)
    assert "about 0.1 would show a change by chance" in " ".join(text_of(found).split())


def test_what_is_not_common_is_said(tmp_path: Path) -> None:
    found = compared(
        tmp_path,
        {("old", 1): pages(10), ("old", 2): pages(20), ("new", 1): pages(10)},
        {("old", 1): pages(10), ("old", 4): pages(40), ("new", 1): ["splat"]},
    )
    assert [(item.quantity.name, dict(item.arm), item.outcome) for item in found.rows] == [
        ("pages", {"kernel": "old"}, "equal"),
        ("pages", {"kernel": "new"}, "no value"),
    ]
    said = "; ".join(found.unmatched)
    assert "only A has 1 combination of levels: those with size=2" in said
    assert "only B has 1 combination of levels: those with size=4" in said
    assert "B has no result for 1 trial: new_1_r1 (splat)" in said
    text = text_of(found)
    assert "no value in B" in text
    assert "size=4" in text


def test_a_slope_uses_the_points_both_have(tmp_path: Path) -> None:
    bent: Outcomes = {("old", 1): pages(10), ("old", 2): pages(20), ("old", 4): pages(80)}
    found = compared(tmp_path, bent, {**bent, ("old", 4): ["lost"]})
    slope = row(found, "per_size", kernel="old").difference
    assert slope is not None
    assert (slope.first, slope.second) == (10, 10)


def test_runs_of_other_experiments_are_refused(tmp_path: Path) -> None:
    other = SyntheticRun(tmp_path / "b", LINE, name="another")
    with pytest.raises(UserError, match="a is a run of made, b one of another"):
        compared(tmp_path, LINE, other)


def test_a_metric_that_means_something_else_is_not_compared(tmp_path: Path) -> None:
    text = EXPERIMENT.replace("\"value('pages', 'done')\"", "\"2 * value('pages', 'done')\"")
    found = compared(tmp_path, LINE, SyntheticRun(tmp_path / "b", LINE, text=text))
    assert not found.rows
    said = " ".join(found.unmatched)
    assert "pages is computed differently in B: `2 * value('pages', 'done')` instead of" in said
    assert "per_size is computed differently" in said, "it uses a metric that changed"
    assert "no value can be compared" in text_of(found)


def test_a_factor_of_one_run_only(tmp_path: Path) -> None:
    more = EXPERIMENT.replace("[factors.size]", '[factors.entry]\nvalues = ["2M"]\n[factors.size]')
    found = compared(tmp_path, LINE, SyntheticRun(tmp_path / "b", LINE, text=more))
    assert found.unmatched == ["only B has the factor entry, always at 2M"]
    assert found.count("equal") == 8
    several = more.replace('["2M"]', '["2M", "4K"]')
    with pytest.raises(UserError, match="only c has the factor entry, with 2 levels") as caught:
        compared(tmp_path / "x", LINE, SyntheticRun(tmp_path / "c", LINE, text=several))
    assert "--only entry=LEVEL" in (caught.value.hint or "")


def cost_runs(tmp_path: Path, first: Validity, second: Validity, **second_is: str) -> Comparison:
    """Runs that took 800 ns: 100 instructions with an icount shift of 3."""
    outcomes: Outcomes = {("old", 1): costs(800), ("new", 1): costs(800)}
    texts = {
        kind: EXPERIMENT.replace('"ns"', '"instructions"')
        if kind.accelerator is Accelerator.ICOUNT
        else EXPERIMENT
        for kind in (first, second)
    }
    return compared(
        tmp_path,
        SyntheticRun(tmp_path / "a", outcomes, text=texts[first], validity=first),
        SyntheticRun(tmp_path / "b", outcomes, text=texts[second], validity=second, **second_is),
    )


def test_instructions_are_compared_exactly(tmp_path: Path) -> None:
    found = cost_runs(tmp_path, EXACT, EXACT)
    cost = row(found, "cost", kernel="new", size="1").difference
    assert cost is not None
    assert (cost.first, cost.basis, cost.outcome) == (100, "exact", "equal")
    assert not found.notes
    other = cost_runs(tmp_path / "x", EXACT, EXACT, kernel_digest="another")
    assert "moves timer ticks and addresses" in " ".join(other.notes)
    elsewhere = cost_runs(tmp_path / "y", EXACT, EXACT, cpu="another")
    assert not elsewhere.notes


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (Validity(Accelerator.TCG), EXACT, "A ran under tcg and B under icount"),
        (KVM, EXACT, "A ran under kvm and B under icount"),
        (EXACT, Validity(Accelerator.ICOUNT, 5), "an icount shift of 3, B of 5"),
        (Validity(Accelerator.TCG), Validity(Accelerator.TCG), "are meaningless under tcg"),
    ],
)
def test_costs_of_different_kinds_are_refused(
    tmp_path: Path, first: Validity, second: Validity, reason: str
) -> None:
    same_text = EXPERIMENT.replace('"ns"', '"instructions"')
    outcomes: Outcomes = {("old", 1): costs(800), ("new", 1): costs(800)}
    found = compared(
        tmp_path,
        SyntheticRun(tmp_path / "a", outcomes, text=same_text, validity=first),
        SyntheticRun(tmp_path / "b", outcomes, text=same_text, validity=second),
    )
    assert reason in found.refused["cost"]
    assert {row.quantity.name for row in found.rows} == {"pages"}, "counts are still compared"
    assert "cost is not compared" in text_of(found)
    with pytest.raises(UserError, match=r"icount shift|ran under|under tcg"):
        findings(found, [parse("cost>1%")])


def test_times_of_different_processors_are_refused(tmp_path: Path) -> None:
    found = cost_runs(tmp_path, KVM, KVM, cpu="a faster one")
    assert "times on different processors" in found.refused["cost"]
    assert [item.what for item in found.circumstances] == ["host"]
    once = cost_runs(tmp_path / "x", KVM, KVM)
    assert row(once, "cost", kernel="new", size="1").outcome == "undecided"


def test_for_programs(tmp_path: Path) -> None:
    zero = {("old", 1): pages(0), ("new", 1): pages(4)}
    found = compared(tmp_path, zero, {("old", 1): pages(5), ("new", 1): pages(4)})
    said = json.loads(as_json(found, findings(found, [parse("pages>1")])))
    assert said["rows"][0] == {
        "metric": "pages",
        "unit": "pages",
        "first": 0,
        "second": 5,
        "change": 5,
        "relative": None,
        "low": None,
        "high": None,
        "basis": "single",
        "outcome": "changed",
        "factors": {"kernel": "old", "size": "1"},
    }
    assert said["met"][0]["rows"] == [
        {"metric": "pages", "factors": {"kernel": "old", "size": "1"}}
    ]
    lines = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(line["kernel"], line["change"], line["outcome"]) for line in lines] == [
        ("old", "5", "changed"),
        ("new", "0", "equal"),
    ]


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    SyntheticRun(tmp_path / "a", LINE).write()
    SyntheticRun(tmp_path / "b", {**LINE, ("new", 4): pages(43)}).write()
    runs = [str(tmp_path / "a"), str(tmp_path / "b")]
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, "--json", "--fail-on", "pages>5%", "--fail-on", "pages>10%"])
    assert ended.value.code == 1
    said = capsys.readouterr()
    assert json.loads(said.out)["met"][0]["condition"] == "pages>5%"
    assert "1 of 2 conditions" in said.err
    assert "pages kernel=new size=4: 40 -> 43 pages" in said.err
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, "--fail-on", "pages>10%"])
    assert ended.value.code == 0
    with pytest.raises(SystemExit) as ended:
        main(["compare", *runs, "--json", "--csv"])
    assert ended.value.code == 2


def test_what_may_have_made_a_change_is_told(tmp_path: Path) -> None:
    small = SyntheticRun(tmp_path / "a", LINE)
    more = EXPERIMENT.replace("memory_mib = 512", 'memory_mib = "512 if size < 4 else 640"')
    found = compared(
        tmp_path, small, SyntheticRun(tmp_path / "b", LINE, text=more, kernel_digest="beef")
    )
    told = {item.what: (item.first, item.second) for item in found.circumstances}
    assert told["memory_mib of series dax-pt-share"] == ("512", "512 or 640")
    assert told["kernel of series none"] == ("6.12.1 (feed)", "6.12.1 (beef)")
    assert "text of the experiment" in told
    assert "image" not in told
