# SPDX-License-Identifier: Apache-2.0
"""``driver.api`` as a notebook or a script uses it, on guests that are not real."""

from __future__ import annotations

import os
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from helpers.documentation import ROOT, blocks
from helpers.synthetic_runs import LINE, PROJECT, FakeGuestRun, SyntheticRun

from analysis.load import SAMPLES, find_run
from analysis.render import NOTEBOOKS, execute
from driver import api
from driver.api import experiments, resume, workspace
from driver.errors import GuestSplat, GuestTimeout, HostError, UserError
from driver.experiment.work import Work
from driver.guest.accel import Choice
from driver.project import Project
from driver.results.manifest import read_manifest

ONLY: dict[str, list[int | str]] = {"processes": [1], "gib": [1], "kernel": ["baseline"]}


@pytest.fixture
def place(tmp_path: Path) -> api.Workspace:
    """A workspace with the experiments of this repository and results of its own."""
    root = tmp_path / "project"
    root.mkdir()
    for folder in ("kernel-patches", "guest-images", "experiments"):
        (root / folder).symlink_to(PROJECT / folder)
    return api.Workspace.find(root, cache=tmp_path / "cache")


class Prepared(FakeGuestRun):
    """Fake guests, and whether they may be kept."""

    kept = False


@pytest.fixture
def fake_guests(monkeypatch: pytest.MonkeyPatch) -> list[Prepared]:
    """Whatever is prepared are fake guests; returns those that were."""
    made: list[Prepared] = []

    def prepare(planned: Any, place: api.Workspace, attend: Any) -> tuple[Work, Choice, None]:
        bench = Prepared(
            place.project.results,
            only=planned.options.only,
            repeat=planned.options.repeat,
            experiment=planned.definition.name,
        )
        bench.kept = attend is not None
        made.append(bench)
        return bench.work, Choice("tcg", "there is nothing else"), None

    for module in (experiments, resume):
        monkeypatch.setattr(module, "prepare", prepare)
    return made


@pytest.mark.usefixtures("fake_guests")
def test_an_experiment_in_five_lines(place: api.Workspace) -> None:
    conclusion = api.run_experiment(
        "pagetable-footprint", only=ONLY, accel="tcg", kernel_args=["quiet"], workspace=place
    )
    assert api.complaint(conclusion, workspace=place) is None
    assert len(conclusion.run.finished) == 2
    manifest = read_manifest(conclusion.directory)
    assert manifest.options.only == {"processes": ["1"], "gib": ["1"], "kernel": ["baseline"]}
    assert manifest.options.kernel_args == ("quiet",)
    assert (place.project.results / "latest").resolve() == conclusion.directory.path


def test_a_run_that_failed_is_resumed(place: api.Workspace, fake_guests: list[Prepared]) -> None:
    conclusion = api.run_experiment("pagetable-footprint", only=ONLY, accel="tcg", workspace=place)
    record = sorted(conclusion.directory.trials.glob("*.json"))[0]
    record.unlink()
    again = api.resume_run("latest", workspace=place)
    assert again.directory == conclusion.directory
    assert record.exists()
    forked = [sum(factory.forks for factory in bench.factories.values()) for bench in fake_guests]
    assert forked == [2, 1]


def test_a_resumed_run_has_trials_like_those_before(
    place: api.Workspace, fake_guests: list[Prepared]
) -> None:
    """Guests that may be kept begin with a write to kernel.panic, attended to or not."""
    kept = api.run_experiment(
        "pagetable-footprint", only=ONLY, accel="tcg", attend=lambda _failed: None, workspace=place
    )
    assert api.run_options(kept.directory).keep_guest
    sorted(kept.directory.trials.glob("*.json"))[0].unlink()
    api.resume_run("latest", workspace=place)
    assert api.run_options(kept.directory).keep_guest
    assert [bench.kept for bench in fake_guests] == [True, True]
    api.run_experiment("pagetable-footprint", only=ONLY, accel="tcg", workspace=place)
    assert not api.run_options("latest", workspace=place).keep_guest


def test_a_run_may_be_named_or_handed_on(tmp_path: Path) -> None:
    written = SyntheticRun(tmp_path / "a", LINE).write()
    more = {place: [{"pages": 11.0 * place[1]}] for place in LINE}
    second = api.read_run(SyntheticRun(tmp_path / "b", more).write())
    by_path = api.compare_runs(written.path, second)
    assert by_path.count("changed") == len(by_path.rows) > 0
    assert api.compare_runs(str(written.path), api.read_run(written)).count("changed") == 0
    assert api.find_run(written.path) == written


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "at least 1"),
        ({"repeat": 0}, "at least 1"),
        ({"only": {"processes": [3]}}, "has no level '3'"),
        ({"accel": "kvm", "jobs": 2}, "disturb each other"),
        ({"qemu_args": ["-accel", "kvm"]}, "overrule the accelerator"),
        ({"accel": "icount", "qemu_args": ["-netdev", "user,id=n"]}, "cannot have QEMU's -netdev"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_built(
    place: api.Workspace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        api.run_experiment("pagetable-footprint", workspace=place, **options)
    assert not place.project.results.exists()
    assert not place.store.root.exists()


def test_without_a_workspace_it_is_here_and_the_store_stays(
    place: api.Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What a store has handed out may be pruned once the store is gone: it must outlive a call."""
    monkeypatch.setenv("DRIVER_PROJECT", str(place.project.root))
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "one"))
    first = workspace.default()
    assert first.project == Project(place.project.root)
    assert workspace.default().store is first.store
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "two"))
    assert workspace.default().store.root == tmp_path / "two"


# Stands for a kernel: the file `cost` says what it costs, or what is wrong with it.
STUB = """
import runpy, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from driver import api
from driver.errors import GuestTimeout, HostError
from helpers.synthetic_runs import LINE, SyntheticRun


def run_experiment(*_, **__):
    cost = Path("cost").read_text()
    if cost == "does not build":
        raise HostError(cost)
    if cost == "does not boot":
        raise GuestTimeout(cost)
    folder = Path({folder!r}) / ("run-" + Path("number").read_text())
    outcomes = {{place: [{{"pages": float(cost) * place[1]}}] for place in LINE}}
    return api.read_run(SyntheticRun(folder, outcomes).write())

api.run_experiment = run_experiment
runpy.run_path({script!r}, run_name="__main__")
"""


def git(tree: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.org")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "PYTHONPATH": str(ROOT),
             "DRIVER_PROJECT": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class TestBisect:
    """The script of docs/how-to/guard-a-tree.md."""

    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        (text,) = [
            block.text
            for block in blocks(ROOT / "docs/how-to/guard-a-tree.md")
            if block.file == "bisect-step.py"
        ]
        path = tmp_path / "bisect-step.py"
        path.write_text(text, encoding="utf-8")
        return path

    def status(self, script: Path, good: Path, monkeypatch: pytest.MonkeyPatch) -> object:
        monkeypatch.setattr("sys.argv", ["bisect-step.py", str(good), "*!=0"])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(script), run_name="__main__")
        return left.value.code

    @pytest.mark.parametrize(("sizes", "status"), [(10, 0), (11, 1)])
    def test_tells_good_from_bad(
        self,
        script: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        sizes: int,
        status: int,
    ) -> None:
        good = SyntheticRun(tmp_path / "good", LINE).write().path
        outcomes = {place: [{"pages": float(sizes * place[1])}] for place in LINE}
        present = api.read_run(SyntheticRun(tmp_path / "now", outcomes).write())
        monkeypatch.setattr(api, "run_experiment", lambda *_, **__: present)
        assert self.status(script, good, monkeypatch) == status

    def test_a_typo_ends_the_search(
        self, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        present = api.read_run(SyntheticRun(tmp_path / "now", LINE).write())
        monkeypatch.setattr(api, "run_experiment", lambda *_, **__: present)
        assert self.status(script, tmp_path / "no-such-run", monkeypatch) == 128

    @pytest.mark.slow
    def test_git_finds_the_commit(self, script: Path, tmp_path: Path) -> None:
        """One of 30, of which one does not build and one does not boot; the guest is faked."""
        good = SyntheticRun(tmp_path / "good", LINE).write().path
        costs = dict.fromkeys(range(31), "10") | dict.fromkeys(range(21, 31), "11")
        costs |= {22: "does not build", 18: "does not boot"}
        tree = tmp_path / "tree"
        git(tree.parent, "init", "--quiet", "tree")
        for number, cost in costs.items():
            (tree / "cost").write_text(cost)
            (tree / "number").write_text(str(number))
            git(tree, "add", "--all")
            git(tree, "commit", "--quiet", "-m", f"change {number}")
        stub = tmp_path / "stub.py"
        stub.write_text(
            STUB.format(tests=str(ROOT / "tests"), folder=str(tmp_path), script=str(script))
        )
        git(tree, "bisect", "start", "HEAD", "HEAD~30")
        said = git(tree, "bisect", "run", sys.executable, str(stub), str(good), "*>1%")
        assert "change 21" in git(tree, "show", "--no-patch", "refs/bisect/bad")
        assert "is the first bad commit" in said
        assert "skip" in git(tree, "bisect", "log"), "what cannot be judged is met on the way"
        assert len(git(tree, "bisect", "log").split("# good:")) < 10

    @pytest.mark.parametrize(
        "error",
        [
            HostError("the kernel does not build"),
            GuestSplat("the guest's kernel reported panic", kind="panic"),
            GuestTimeout("the guest did not boot"),
        ],
        ids=lambda error: type(error).__name__,
    )
    def test_skips_what_does_not_build_or_boot(
        self, script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr(api, "run_experiment", fail)
        assert self.status(script, tmp_path, monkeypatch) == 125


def test_the_notebook_names_what_changed(tmp_path: Path) -> None:
    sample = find_run("five-cases", SAMPLES, SAMPLES)
    run = shutil.copytree(sample, tmp_path / sample.name)
    table = run / "samples.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    where = next(
        number
        for number, line in enumerate(lines)
        if ",baseline_off_shared_2M_r1," in line and ",new,meminfo,PageTables," in line
    )
    head, value, unit = lines[where].rsplit(",", 2)
    lines[where] = f"{head},{int(value) + 4096},{unit}"
    table.write_text("".join(lines), encoding="utf-8")
    executed = execute(NOTEBOOKS / "changes.py", run)
    said = "".join(str(output) for cell in executed.cells for output in cell.get("outputs", []))
    assert "1 of 170 values changed" in said
    assert "at_new" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accel": "fast"}, "there is no accelerator 'fast'"),
        ({"kernel_args": "mitigations=off"}, "kernel_args is a list of words"),
        ({"qemu_args": "-d int"}, "qemu_args is a list of words"),
        ({"bases": "6.12"}, "bases is a list of words"),
        ({"only": {"entry": "4K"}}, "'entry' needs a list of levels"),
        ({"only": {"entry": 4}}, "'entry' needs a list of levels"),
        ({"repeat": 2.5}, "repeat is a whole number"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(
    place: api.Workspace, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        api.run_experiment("pagetable-footprint", workspace=place, **options)


def test_exact_is_icount(place: api.Workspace) -> None:
    planned = api.plan_experiment(
        "pagetable-footprint", api.Options(quick=True), cast(Any, "exact"), workspace=place
    )
    assert planned.accel == "icount"


@pytest.mark.parametrize("confidence", [0.4, 1, 2, float("nan")])
def test_a_confidence_that_says_nothing_is_refused(confidence: float) -> None:
    sample = find_run("five-cases", samples=SAMPLES)
    with pytest.raises(UserError, match="a confidence level of"):
        api.compare_runs(sample, sample, confidence=confidence)
