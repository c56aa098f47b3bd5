# SPDX-License-Identifier: Apache-2.0
"""The HTML report: well formed, complete, self-contained, and safe with hostile strings."""

from __future__ import annotations

import errno
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers.synthetic_runs import (
    EXPERIMENT,
    LINE,
    FakeGuestRun,
    Outcomes,
    SyntheticRun,
    costs,
    pages,
)

from driver.atomic_write import write_atomically
from driver.cli.main import main
from driver.errors import GuestSplat
from driver.experiment.conclusion import Conclusion
from driver.guest.job import Job
from driver.htmlreport.assertion_charts import Arms, charts
from driver.htmlreport.page import render
from driver.results.record import read_record
from driver.validity import Accelerator, Validity

_VOID = {"meta", "br", "hr", "img", "link", "input"}


class Page(HTMLParser):
    """Reads a page, demanding that every element is closed; keeps its text and what it fetches."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.elements: list[str] = []
        self.fetched: list[str] = []
        self.handlers: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action", "xlink:href"):
                self.fetched.append(value or "")
            if name.startswith("on"):
                self.handlers.append(name)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def footprint(tmp_path_factory: pytest.TempPathFactory) -> Conclusion:
    only = {"processes": ["1", "4", "16"], "gib": ["1"]}
    return FakeGuestRun(tmp_path_factory.mktemp("run"), only=only).run()


def self_contained(html: str) -> None:
    page = Page(html)
    assert page.fetched == []
    assert page.handlers == []
    assert "script" not in page.elements
    assert "link" not in page.elements
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import", style)


def test_everything_is_in_it(footprint: Conclusion) -> None:
    html = render(footprint)
    self_contained(html)
    words = Page(html).words
    experiment = footprint.experiment
    assert " ".join(experiment.question.split()) in words
    for item in (*experiment.checks, *experiment.fits, *experiment.predictions):
        assert item.claim in words
    for name, verdict in footprint.verdicts.predictions.items():
        assert re.search(f"{verdict}.*{name}", words)
    for row in footprint.verdicts.rows:
        assert f"{row.measured:,.0f} {row.unit}" in words
    # 3 arms x 2 sizes of entry x 3 counts of processes, 5 checks each; and 6 slopes.
    assert "all 96 checks hold" in words
    assert "driver run experiment pagetable-footprint --only processes=1,4,16" in words
    assert "--accel tcg" in words
    assert "time refused" in words
    assert "No measurement was refused" in words
    assert "<svg" in html


def test_it_is_readable_in_the_dark_and_on_a_phone(footprint: Conclusion) -> None:
    html = render(footprint)
    assert "prefers-color-scheme: dark" in html
    assert 'name="viewport" content="width=device-width' in html
    assert not re.search(r'(?:fill|stroke|color)="#', html), "a colour that ignores the dark"


def test_failures_come_with_their_evidence(tmp_path: Path) -> None:
    bench = FakeGuestRun(
        tmp_path, only={"processes": ["1", "2"], "gib": ["1"], "kernel": ["baseline"]}
    )

    def splat(job: Job) -> None:
        if "2" in job.argv:
            raise GuestSplat("the kernel oopsed", kind="oops", excerpt="RIP: 0010:do_fault+0x1/0x2")

    factory = next(iter(bench.factories.values()))
    factory.misbehave = splat
    factory.leak = 3
    words = Page(render(bench.run())).words
    assert "2 trials of 4 without result" in words
    assert "RIP: 0010:do_fault+0x1/0x2" in words
    assert "Checks that do not hold" in words
    assert "12,288 B" in words


def test_refusals_are_reported(tmp_path: Path) -> None:
    outcomes: Outcomes = {("old", 1): costs(800), ("new", 1): costs(800)}
    made = SyntheticRun(tmp_path / "run", outcomes)
    directory = made.write()
    record = read_record(directory, "old_1_r1")
    assert record is not None
    refused = record.model_copy(update={"refused": ["done: value cost: a time is not a time"]})
    write_atomically(directory.trials / "old_1_r1.json", refused.model_dump_json().encode())
    words = Page(render(made.reread())).words
    assert "a time is not a time (in 1 trial)" in words


def test_a_run_without_its_records_says_what_is_not_known(tmp_path: Path) -> None:
    made = SyntheticRun(tmp_path / "run", LINE)
    directory = made.write()
    for path in directory.trials.iterdir():
        path.unlink()
    words = Page(render(made.reread())).words
    assert "Unknown whether measurements were refused" in words
    assert "all 8 checks hold" in words


@pytest.mark.parametrize(
    "accelerator",
    [Validity(Accelerator.TCG), Validity(Accelerator.ICOUNT, 3), Validity(Accelerator.KVM)],
)
def test_every_accelerator_is_explained(tmp_path: Path, accelerator: Validity) -> None:
    words = Page(render(SyntheticRun(tmp_path / "run", LINE, validity=accelerator).read())).words
    assert f"accelerator {accelerator.accelerator}" in words
    assert f"--accel {accelerator.accelerator}" in words


def test_hostile_strings_stay_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script><img src=x onerror=y>&amp;\\\"'"
    text = EXPERIMENT.replace("What does a fault cost?", evil).replace("ten pages each", evil)
    outcomes: Outcomes = {**LINE, ("new", 4): [evil]}
    made = SyntheticRun(tmp_path / "run", outcomes, text=text, cpu=evil)
    html = render(made.read())
    self_contained(html)
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4
    assert "&lt;img src=x onerror=y&gt;&amp;amp;" in html


def test_what_varies_is_shown_as_a_range(tmp_path: Path) -> None:
    outcomes: Outcomes = {("old", 1): pages(10, 10), ("old", 2): pages(20, 27)}
    words = Page(render(SyntheticRun(tmp_path / "run", outcomes).read())).words
    assert "20 to 27 pages" in words
    assert "holds in 1, fails in 1" in words


MANY_ARMS = """
[factors.load.arms.light]
[factors.load.arms.heavy]
[factors.load.arms.mixed]

[factors.size]
"""


def test_no_more_arms_share_a_panel_than_can_be_distinguished(tmp_path: Path) -> None:
    """Two kernels by three loads are six arms, and there are four marks: a panel for each load."""
    text = EXPERIMENT.replace("[factors.size]\n", MANY_ARMS)
    conclusion = SyntheticRun(tmp_path / "run", LINE, text=text).read()
    planned = [trial.factors for trial in conclusion.run.manifest.plan]
    assert len(planned) == 18, "two kernels, three loads, three sizes"
    arms = Arms.of(conclusion.experiment, planned)
    assert arms.factors == ("kernel",)
    assert arms.numbers == {("old",): 0, ("new",): 1}
    drawings, legend = charts(
        conclusion.experiment, conclusion.verdicts.of("check", "pages_right"), arms, "pages"
    )
    assert [drawing.title for drawing in drawings] == ["load=light", "load=heavy", "load=mixed"]
    assert [series.label for series in legend] == ["old", "new"]
    two = Arms.of(
        conclusion.experiment, [levels for levels in planned if levels["load"] != "mixed"]
    )
    assert two.factors == ("kernel", "load")


def test_traces_are_decoded_or_it_is_said_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "cache"))
    run = SyntheticRun(tmp_path / "run", {**LINE, ("new", 4): ["splat"]}).write()
    with pytest.raises(SystemExit):
        main(["report", str(run.path)])
    words = Page((run.path / "report.html").read_text()).words
    assert "do_fault+0x12/0x34 (no source lines: the kernel of this run" in words


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = SyntheticRun(tmp_path / "run", LINE).write()
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for arguments, written in (
        ([], run.path / "report.html"),
        (["-o", str(tmp_path / "r.html")], tmp_path / "r.html"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["report", str(run.path), *arguments])
        assert ended.value.code == 0
        assert capsys.readouterr().out == f"{written}\n"
        assert written.read_text().startswith("<!doctype html>")
    after = {path: path.read_bytes() for path in before}
    assert after == before, "looking changes nothing"
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run.path), "-o", str(tmp_path / "no" / "r.html")])
    assert ended.value.code == 2


def test_a_run_of_somebody_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = SyntheticRun(tmp_path / "run", LINE).write()

    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("driver.cli.report.write_atomically", refuse)
    with pytest.raises(SystemExit) as ended:
        main(["report", str(run.path)])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert f"error: cannot write {run.path}/report.html: Permission denied" in error
    assert f"hint: Write it elsewhere: driver report {run.path} -o report.html" in error
