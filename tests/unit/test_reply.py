# SPDX-License-Identifier: Apache-2.0
"""The reply is what the committed samples make of its template, and leads to where it says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from helpers.synthetic_runs import FOOTPRINT, FakeGuestRun

from analysis.illustrate import ORIGINS, PICTURES, origins
from analysis.load import ROOT, SAMPLES, NoRun, find_run, load_run
from analysis.page_tables import PICTURE, five_cases
from analysis.reply.__main__ import EXPERIMENTS, NEEDS_MORE, REPLY, compose, gather, main
from analysis.reply.breakeven import break_even
from analysis.reply.changing import CallCost, Changing
from analysis.reply.leaving import Leaving, Operation
from analysis.reply.locking import Load, Locking
from analysis.reply.reach import Scale
from analysis.reply.saving import Filling
from analysis.reply.verdicts import command, verdicts
from analysis.stats import FittedLine
from driver.experiment.load import load
from driver.intervals import Interval


@pytest.fixture(scope="module")
def reply() -> str:
    return compose(gather())


@pytest.mark.slow
def test_the_reply_is_made_from_the_samples(reply: str) -> None:
    assert REPLY.read_text(encoding="utf-8") == reply, "regenerate it: make reply"


def test_the_pictures_are_those_of_the_notebooks_and_samples() -> None:
    written = json.loads((PICTURES / ORIGINS).read_text(encoding="utf-8"))
    assert written == origins(), "regenerate them: make reply"


@pytest.mark.slow
def test_every_picture_is_shown(reply: str) -> None:
    shown = re.findall(r"^!\[[^\]]+\]\(([^)]+)\)$", reply, re.MULTILINE)
    assert {REPLY.parent / link for link in shown} == {*PICTURES.glob("*.png"), PICTURE}


def test_the_five_cases_are_drawn_from_what_was_in_memory() -> None:
    drawn = five_cases(find_run("page-table-audit", SAMPLES, SAMPLES))
    assert PICTURE.read_text(encoding="utf-8") == drawn, "python -m analysis.page_tables"
    # One page of PMDs in the cases 1 to 3 and 5, whose users are 1, 2, 1 and 1.
    assert drawn.count("page of PMDs, 2 users") == 1
    assert drawn.count("page of PMDs, 1 user<") == 3
    assert drawn.count("no process maps the file") == 1


@pytest.mark.slow
def test_every_link_leads_somewhere(reply: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", reply)
    assert len(links) > 3 * len(EXPERIMENTS)
    headings = re.findall(r"^#+ (.*)$", reply, re.MULTILINE)
    # As GitHub makes them of headings.
    anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for link in links:
        found = link[1:] in anchors if link.startswith("#") else (REPLY.parent / link).exists()
        assert found, link


@pytest.mark.slow
def test_every_experiment_stands_with_its_command_in_the_order_of_the_thread(reply: str) -> None:
    places = [reply.index(f"> `{command(load_run(place))}`") for place in gather().values()]
    assert places == sorted(places)


def test_every_experiment_of_the_reply_is_made_by_one_command() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", " ")
    listed = re.search(r"^EXPERIMENTS := (.*)$", makefile, re.MULTILINE)
    assert listed
    assert listed[1].split() == [name for name in EXPERIMENTS if name not in NEEDS_MORE]


def test_samples_answer_the_questions_that_the_experiments_ask_today() -> None:
    """A sample may be older than a finding, but not than a claim."""
    for name, place in gather().items():
        current = load(ROOT / "experiments", name).experiment
        claims = [verdict.claim for verdict in verdicts(load_run(place))]
        assert claims == [prediction.claim for prediction in current.predictions], name


def test_what_is_refuted_has_a_finding() -> None:
    bare = [
        (verdict.experiment, verdict.claim)
        for place in gather().values()
        for verdict in verdicts(load_run(place))
        if verdict.verdict == "refuted" and not verdict.finding
    ]
    assert bare == []


@pytest.mark.parametrize(
    ("extra", "processes"),
    [(-5, 2), (0, 2), (100, 2), (101, 3), (250, 4)],
)
def test_from_how_many_processes_on_it_pays(extra: float, processes: int) -> None:
    """The first one pays ``extra`` more, each later one saves 100."""
    filling = Filling("2M", 512, 9, 9, 9, 500, 500 + extra, 500, 400, 1, 2, 3, 5)
    assert filling.pays_from == processes
    assert (processes - 1) * filling.saved >= filling.extra
    assert processes == 2 or (processes - 2) * filling.saved < filling.extra


def test_the_rewriting_that_makes_write_back_pay_is_bounded_from_both_sides() -> None:
    """With 101 processes of 512 entries: a visit costs 30 with sharing, 10 without if all wrote."""

    def call(off: float, on: float) -> CallCost:
        entries = 512 * 100
        return CallCost("fsync", "2M", 0, 0, off * entries, on * entries, 101, off * 512)

    filling = Filling("2M", 512, 400, 400, 400, 500, 500, 500, 100, 1, 2, 3, 5)
    part = Operation("munmap", True, 10, 10, 0, 390, 0, 511, None)
    left = Leaving(16, 9, 3, {"munmap-part": part}, 500, 110, {})
    for off, on, bounds in ((10, 30, (0.05, 0.075)), (30, 30, (0, 0.075))):
        changed = Changing({("write-back", "2M"): call(off, on)}, 101, 0, 0)
        even = break_even({}, {"2M": filling}, left, changed)
        assert even.rewriting == pytest.approx(bounds)
        assert even.unmapping == pytest.approx(1)


def test_a_load_is_named_only_if_chance_seldom_makes_so_much_of_any_of_them() -> None:
    def load(name: str, on: float, likely: float, spins: float) -> Load:
        arms = {"unpatched": 4.0, "off": 5.0, "on": on}
        counts = {arm: Interval(value, value, value, 5) for arm, value in arms.items()}
        few = {arm: Interval(spins, spins, spins, 5) for arm in arms}
        return Load(name, counts, 0.5, counts, likely, few, counts)

    loads = [load("a", 9, 0.01, 0), load("b", 1, 0.02, 0), load("c", 9, 0.04, 0)]
    found = Locking(4, 8, 5, loads, 2)
    assert found.sleeps_differ == [
        "more often with *a*",
        "less often with *b*",
        "more often with *c*",
    ]
    assert found.contended_differ == []
    assert not found.counts_spins
    loads[0] = load("a", 9, 0.02, 3)
    found = Locking(4, 8, 5, loads, 2)
    assert found.sleeps_differ == [], "0.02 is 0.06, if it is one of three"
    assert found.counts_spins


def test_a_projection_states_what_one_page_in_its_largest_count_would_change() -> None:
    line = FittedLine(slope=4096, intercept=0, error=0, points=5, worst=0)
    scale = Scale(line, line, 10_000, 16, 0, 0, 0, 0, 0)
    assert scale.own_at(10_000, 6144) == 10_000 * 6144 * 4096
    assert scale.resolution(10_000, 16) == 4096
    assert scale.resolution(10_000, 6144) == 6144 / 16 * 4096
    assert scale.above(10_000, 6144) == 10_000 * 12 * 4096
    assert scale.above(1, 1) == 4096


@pytest.mark.slow
def test_a_run_takes_the_place_of_the_sample_of_its_experiment(tmp_path: Path) -> None:
    only = {"processes": ["1", "2", "8"], "gib": ["1"]}
    bench = FakeGuestRun(tmp_path, only=only)
    for factory in bench.factories.values():
        factory.collisions = 40
    run = bench.run().directory.path
    places = gather([run])
    assert places[FOOTPRINT] == run
    text = compose(places, tmp_path)
    assert f"]({run.name}/)" in text
    assert "--only processes=1,2,8 --only gib=1" in text
    assert "up to 8 processes" in text


def test_a_run_that_the_reply_is_not_about_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    with pytest.raises(NoRun, match="there is no run of"):
        gather(results=tmp_path)
