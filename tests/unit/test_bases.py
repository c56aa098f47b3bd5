# SPDX-License-Identifier: Apache-2.0
"""The version of Linux is chosen when an experiment is run; several of them are a factor."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from helpers.documentation import ROOT
from helpers.synthetic_runs import FakeGuestRun

from driver.api.bases import KernelSources, with_bases
from driver.api.preparation import check
from driver.errors import UserError
from driver.experiment.bases import across
from driver.experiment.conclusion import read_conclusion
from driver.experiment.load import Definition, load
from driver.experiment.plan import Selection, guests, make_plan
from driver.experiment.run_manifest import planned_run
from driver.project import Project
from driver.results.manifest import Options
from driver.store import Store

BASELINE = {"kernel": ["baseline"]}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    for folder in ("kernel-patches", "guest-images", "experiments"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True)
    # The tests say for themselves which series have been ported.
    for ported in (tmp_path / "kernel-patches").glob("*/7.3"):
        if not ported.parent.is_symlink():
            shutil.rmtree(ported)
    return Project(tmp_path)


@pytest.fixture
def footprint(project: Project) -> Definition:
    return load(project.experiments, "pagetable-footprint")


def kernels(definition: Definition, options: Options) -> list[tuple[str, str | None]]:
    selection = Selection(only=options.only, base=options.base, quick=True)
    requests = guests(make_plan(definition.experiment, selection))
    return [(request.kernel.series, request.kernel.base) for request in requests]


class TestChoice:
    def chosen(
        self, project: Project, definition: Definition, **options: object
    ) -> list[tuple[str, str | None]]:
        return kernels(*with_bases(project, definition, Options(quick=True, **options)))  # type: ignore[arg-type]

    def test_the_newest_that_the_series_exists_for(
        self, project: Project, footprint: Definition
    ) -> None:
        both = [("none", "6.12"), ("dax-pt-share", "6.12")]
        assert self.chosen(project, footprint) == both
        port(project, "smaps-page-tables")
        assert self.chosen(project, footprint) == both, "another series has nothing to say"
        assert self.chosen(project, footprint, only=BASELINE) == both[:1], "nor of series none"
        port(project, "dax-pt-share")
        assert self.chosen(project, footprint) == [("none", "7.3"), ("dax-pt-share", "7.3")]

    def test_an_experimental_one_is_asked_for(
        self, project: Project, footprint: Definition
    ) -> None:
        port(project, "dax-pt-share")
        listed = project.patches / "dax-pt-share/7.3/series.toml"
        listed.write_text(listed.read_text().replace("kconfig =", "experimental = true\nkconfig ="))
        both = [("none", "6.12"), ("dax-pt-share", "6.12")]
        assert self.chosen(project, footprint) == both
        assert self.chosen(project, footprint, only=BASELINE) == both[:1]
        asked = self.chosen(project, footprint, bases=["7.3"])
        assert asked == [("none", "7.3"), ("dax-pt-share", "7.3")]
        shutil.rmtree(project.patches / "dax-pt-share/6.12")
        assert self.chosen(project, footprint) == asked, "there is no other one"

    def test_one_that_the_series_does_not_exist_for(
        self, project: Project, footprint: Definition
    ) -> None:
        with pytest.raises(UserError, match=r"dax-pt-share does not exist for Linux 7\.3"):
            self.chosen(project, footprint, bases=["7.3"])
        baseline = self.chosen(project, footprint, bases=["7.3"], only=BASELINE)
        assert baseline == [("none", "7.3")], "what is not selected need not exist"

    def test_a_tree_chooses_for_both_arms(
        self, project: Project, footprint: Definition, tmp_path: Path
    ) -> None:
        """My tree with my change, and without: a base that nobody has patches for."""
        tree = Path(shutil.copytree(ROOT / "tests/fixtures/fake-kernel", tmp_path / "linux"))
        text = (tree / "Makefile").read_text()
        (tree / "Makefile").write_text(text.replace("PATCHLEVEL = 12", "PATCHLEVEL = 99"))
        both = [("none", "6.99"), ("dax-pt-share", "6.99")]
        assert self.chosen(project, footprint, source=str(tree)) == both
        assert self.chosen(project, footprint, unpatched_source=str(tree), source=str(tree)) == both
        with pytest.raises(UserError, match=r"the source is Linux 6\.99, and --base says 6\.12"):
            self.chosen(project, footprint, source=str(tree), bases=["6.12"])
        with pytest.raises(UserError, match="--base names 2: "):
            self.chosen(project, footprint, source=str(tree), bases=["6.12", "6.99"])

    def test_a_dry_run_refuses_what_cannot_be_built(
        self, project: Project, footprint: Definition, tmp_path: Path
    ) -> None:
        store = Store(tmp_path / "cache")
        plan = make_plan(footprint.experiment, Selection(only=BASELINE, base="7.9"))
        check(store, project, guests(plan), KernelSources())  # nobody knows what Debian has
        (store.root / "apt").mkdir(parents=True)
        offer = {"base": "7.3", "version": "7.3.4-1", "suites": ["trixie-backports"]}
        known = {"offers": [offer], "checked": 0.0, "problem": ""}
        (store.root / "apt/kernels.json").write_text(json.dumps(known))
        with pytest.raises(UserError, match=r"no Debian suite carries linux-source-7\.9") as caught:
            check(store, project, guests(plan), KernelSources())
        assert "Bases that exist: 7.3." in str(caught.value.hint)
        with pytest.raises(UserError, match="source directory /nowhere does not exist"):
            check(store, project, guests(plan), KernelSources(unpatched="/nowhere"))


class TestFactor:
    def test_one_base_is_no_factor(self, footprint: Definition) -> None:
        assert across(footprint.experiment, ["7.3"]) is footprint.experiment
        assert across(footprint.experiment, []) is footprint.experiment

    def test_several_are_compared_side_by_side(self, footprint: Definition) -> None:
        varied = across(footprint.experiment, ["6.12", "7.3"])
        plan = make_plan(varied, Selection(only=BASELINE, quick=True))
        first = [(trial.id, trial.guest.kernel.base) for trial in plan[:2]]
        assert {base for _, base in first} == {"6.12", "7.3"}
        assert {id_.partition("_")[0] for id_, _ in first} == {"6.12", "7.3"}
        (one, other) = (id_.partition("_")[2] for id_, _ in first)
        assert one == other, "what is compared stands side by side"

    def test_lines_are_not_drawn_through_two_kernels(self, footprint: Definition) -> None:
        varied = across(footprint.experiment, ["6.12", "7.3"])
        assert varied.fits
        assert all(fit.by[0] == "base" for fit in varied.fits)
        assert all(table.rows[0] == "base" for table in varied.summary_tables)

    def test_a_run_of_two_bases_is_judged_and_continued(self, tmp_path: Path) -> None:
        """The text of the experiment, which is all that is kept, has no such factor."""
        only = {"processes": ["1", "2"], "gib": ["1"], "entry": ["2M"], **BASELINE}
        made = FakeGuestRun(tmp_path, only=only, repeat=1, bases=["6.12", "7.3"])
        concluded = made.run()
        assert set(concluded.run.trials["base"]) == {"6.12", "7.3"}
        assert concluded.run.factors[0] == "base"
        again = read_conclusion(concluded.directory)
        assert again.verdicts == concluded.verdicts
        fits = again.verdicts.of("fit")
        assert {row.levels["base"] for row in fits} == {"6.12", "7.3"}
        _, definition, plan = planned_run(concluded.directory)
        assert [trial.id for trial in plan] == [trial.id for trial in made.plan]
        assert "base" in definition.experiment.factors

    def test_a_name_that_is_taken(self, footprint: Definition) -> None:
        factors = {"base": footprint.experiment.factors["gib"]}
        taken = footprint.experiment.model_copy(update={"factors": factors})
        with pytest.raises(UserError, match="already has a factor or a metric of that name"):
            across(taken, ["6.12", "7.3"])


def port(project: Project, series: str) -> None:
    folder = project.patches / series
    shutil.copytree(folder / "6.12", folder / "7.3")
