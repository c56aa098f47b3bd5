# SPDX-License-Identifier: Apache-2.0
"""From factors to an interleaved, reproducible order of trials."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.experiment.definition import Experiment
from driver.experiment.load import load, parse
from driver.experiment.plan import Selection, guests, make_plan

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
EVERYTHING = Selection(only={})


@pytest.fixture(scope="module")
def footprint() -> Experiment:
    return load(EXPERIMENTS, "pagetable-footprint").experiment


def test_the_plan_is_the_product_without_the_excluded(footprint: Experiment) -> None:
    plan = make_plan(footprint, EVERYTHING)
    arms = {(trial.factors["kernel"], trial.factors["sharing"]) for trial in plan}
    assert arms == {("baseline", "off"), ("patched", "off"), ("patched", "on")}
    # 7 counts of processes with 1 GiB, 6 with 2, 3 each with 4 and 8.
    assert len(plan) == 3 * 2 * (7 + 6 + 3 + 3)
    assert len({trial.id for trial in plan}) == len(plan)
    assert [trial.sequence for trial in plan] == list(range(len(plan)))


def test_what_is_compared_stands_side_by_side_and_takes_turns(footprint: Experiment) -> None:
    plan = make_plan(footprint, EVERYTHING)
    blocks = [plan[start : start + 3] for start in range(0, len(plan), 3)]
    for block in blocks:
        assert (
            len({(t.factors["entry"], t.factors["processes"], t.factors["gib"]) for t in block})
            == 1
        )
        assert len({(t.factors["kernel"], t.factors["sharing"]) for t in block}) == 3
    first = {(block[0].factors["kernel"], block[0].factors["sharing"]) for block in blocks}
    assert len(first) == 3, "the same arm always goes first"


def test_repeats_are_whole_rounds(footprint: Experiment) -> None:
    once = make_plan(footprint, EVERYTHING)
    twice = make_plan(footprint, Selection(only={}, repeat=2))
    assert [trial.repeat for trial in twice] == [0] * len(once) + [1] * len(once)
    assert [trial.id for trial in twice[: len(once)]] == [trial.id for trial in once]


def test_an_identity_does_not_depend_on_the_selection(footprint: Experiment) -> None:
    everything = {trial.id: trial.job for trial in make_plan(footprint, EVERYTHING)}
    some = make_plan(footprint, Selection(only={"processes": ["4"], "entry": ["4K"]}))
    assert some
    for trial in some:
        assert everything[trial.id] == trial.job


def test_the_quick_plan_is_a_small_part(footprint: Experiment) -> None:
    everything = {trial.id for trial in make_plan(footprint, EVERYTHING)}
    quick = {trial.id for trial in make_plan(footprint, Selection(only={}, quick=True))}
    assert quick < everything
    assert len(quick) <= len(everything) / 4


def test_arms_become_writes_and_factors_become_arguments(footprint: Experiment) -> None:
    jobs = {trial.id: trial.job for trial in make_plan(footprint, EVERYTHING)}
    on = jobs["patched_on_4K_8_2_r1"]
    assert [(write.path, write.text) for write in on.setup] == [
        ("/proc/sys/vm/dax_share_page_tables", "1")
    ]
    assert jobs["patched_off_4K_8_2_r1"].setup[0].text == "0"
    assert jobs["baseline_off_4K_8_2_r1"].setup == (), "that kernel has no such file"
    words = list(on.argv)
    assert words[words.index("--processes") + 1] == "8"
    assert words[words.index("--entry") + 1] == "4K"
    assert on.timeout > jobs["patched_on_4K_1_1_r1"].timeout
    assert "/proc/meminfo" in on.sources
    assert "status" in on.worker_sources
    assert [write.path for write in on.refresh] == ["/proc/sys/vm/stat_refresh"]


def test_one_template_per_kernel(footprint: Experiment) -> None:
    requests = guests(make_plan(footprint, EVERYTHING))
    assert [request.kernel.series for request in requests] == ["none", "dax-pt-share"]
    assert len(guests(make_plan(footprint, Selection(only={"kernel": ["patched"]})))) == 1


@pytest.mark.parametrize(
    ("only", "message", "hint"),
    [
        ({"procesess": ["1"]}, "no factor called 'procesess'", "Did you mean 'processes'?"),
        ({"sharing": ["yes"]}, "no level 'yes'", "Possible: off, on."),
        ({"kernel": ["baseline"], "sharing": ["on"]}, "nothing to run", "no switch"),
    ],
)
def test_a_selection_that_means_nothing(
    footprint: Experiment, only: dict[str, list[str]], message: str, hint: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        make_plan(footprint, Selection(only=only))
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("nvdimm_mib = 16640", "nvdimm_mib = 16641", "an NVDIMM of 16641 MiB is not possible"),
        ("[machine]", '[machine]\nvcpus = "3 * processes"', "a guest with 12 processors"),
        (
            "timeout = 180",
            'timeout = "180 - 100 * gib"',
            "`provision-dax` needs a positive timeout",
        ),
        ("[machine]", '[machine]\nvcpus = "10.0 ** 400"', "Numerical result out of range"),
        (
            "where = \"sharing == 'on'\"",
            'where = "processes - 1"',
            "`processes - 1` is 0, neither true nor false",
        ),
    ],
)
def test_a_mistake_that_only_shows_in_a_trial_is_reported_before_anything_is_built(
    old: str, new: str, message: str
) -> None:
    path = EXPERIMENTS / "pagetable-footprint" / "experiment.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text, "the experiment changed; so must this test"
    experiment = parse("x", path, text.replace(old, new)).experiment
    with pytest.raises(UserError, match=re.escape(message)):
        make_plan(experiment, EVERYTHING)


def test_a_level_may_be_excluded_as_text(footprint: Experiment) -> None:
    path = EXPERIMENTS / "pagetable-footprint" / "experiment.toml"
    table = '\n[[exclude]]\nreason = "too many"\nlevels = { processes = ["64", "256"] }\n'
    found = parse("x", path, path.read_text(encoding="utf-8") + table).experiment
    everything = {trial.id for trial in make_plan(footprint, EVERYTHING)}
    fewer = {trial.id for trial in make_plan(found, EVERYTHING)}
    assert fewer == {name for name in everything if not {"64", "256"} & set(name.split("_"))}
