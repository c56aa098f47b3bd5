# SPDX-License-Identifier: Apache-2.0
"""Helpers of the notebooks, and the notebooks themselves, on runs whose truth is known."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pytest
from helpers.synthetic_runs import FOOTPRINT, FakeGuestRun

from analysis import stats, tidy
from analysis.load import SAMPLES, NoRun, find_run, load_run
from analysis.render import (
    NOTEBOOKS,
    BrokenNotebook,
    execute,
    experiments_of,
    kernel,
    main,
    notebooks_about,
    pictures,
)
from driver.results.reader import Run
from driver.text import binary

ONLY = {"processes": ["1", "2", "8"]}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FakeGuestRun(tmp_path_factory.mktemp("results"), only=ONLY).run().directory.path


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    return load_run(finished, experiment=FOOTPRINT)


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0, 3, "0 B"),
        (4096, 3, "4 KiB"),
        (513 * 4096, 3, "2.00 MiB"),
        (513 * 4096, 4, "2.004 MiB"),
        (10_000 * 6144 * 4096, 3, "234 GiB"),
        (10_000 * 6144 * 4096, 4, "234.4 GiB"),
        (-1536, 3, "-1.50 KiB"),
        (1023, 3, "1,023 B"),
    ],
)
def test_bytes_for_people(value: float, digits: int, text: str) -> None:
    assert binary(value, digits) == text


def test_a_line_through_exact_points_has_no_error() -> None:
    line = stats.fit_line([1, 2, 4], [7, 9, 13])
    assert (line.slope, line.intercept) == pytest.approx((2, 5))
    assert line.exact
    assert line.error == pytest.approx(0, abs=1e-12)
    assert line.at(10) == pytest.approx(25)


def test_the_error_of_a_slope_is_the_textbook_one() -> None:
    line = stats.fit_line([0, 1, 2, 3], [0, 1.1, 1.9, 3.2])
    # slope = sum((x-1.5) * y) / sum((x-1.5)^2); residuals by hand
    assert line.slope == pytest.approx(1.04)
    residuals = [0.01, 0.07, -0.17, 0.09]
    expected = math.sqrt(sum(r * r for r in residuals) / 2 / 5)
    assert line.error == pytest.approx(expected, rel=1e-6)
    assert line.worst == pytest.approx(0.17)
    assert not line.exact


def test_a_slope_of_one_place_is_refused() -> None:
    with pytest.raises(ValueError, match="two different x values"):
        stats.fit_line([4, 4], [1, 2])


def test_change_is_one_row_per_trial(run: Run) -> None:
    growth = tidy.change(run, "meminfo", "PageTables", since="mapped", until="touched")
    assert len(growth) == len(run.finished)
    assert growth.loc["patched_off_4K_8_2_r1", "change"] == 8 * 2 * 513 * 4096
    assert growth.loc["patched_on_4K_8_2_r1", "change"] == 2 * 513 * 4096
    per_process = tidy.at_phase(run, "status", "VmPTE", "touched", process=0)
    assert set(per_process["value"]) == {24 * 1024}


def test_what_was_not_sampled_is_said_by_name(run: Run) -> None:
    with pytest.raises(tidy.NotSampled, match="no meminfo Nonsense in the phase touched"):
        tidy.at_phase(run, "meminfo", "Nonsense", "touched")


def test_the_newest_run_is_found_before_the_samples(tmp_path: Path, finished: Path) -> None:
    assert find_run(FOOTPRINT, finished.parent, tmp_path) == finished
    assert find_run(FOOTPRINT, tmp_path, finished.parent) == finished
    with pytest.raises(NoRun, match="there is no run of no-such-thing"):
        find_run("no-such-thing", finished.parent, tmp_path)


def test_a_run_of_another_experiment_is_refused(finished: Path) -> None:
    with pytest.raises(NoRun, match="not of five-cases"):
        load_run(finished, experiment="five-cases")


SAMPLE_RUNS = sorted(path.parent for path in SAMPLES.glob("*/manifest.json"))


@pytest.mark.parametrize("sample", SAMPLE_RUNS, ids=lambda path: path.name)
def test_a_sample_run_is_real_and_whole(sample: Path) -> None:
    run = load_run(sample)
    assert len(run.finished) == len(run.trials)
    assert all(guest.qemu.version.startswith("QEMU") for guest in run.manifest.guests)
    asserted = run.checks[run.checks["kind"] != "prediction"]
    assert set(asserted["verdict"]) == {"holds"}


@pytest.mark.slow
def test_rendering_writes_pictures_and_the_answers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = find_run(FOOTPRINT, tmp_path, SAMPLES)
    run = shutil.copytree(sample, tmp_path / sample.name)
    assert main([str(run)]) == 0
    written = [Path(line) for line in capsys.readouterr().out.split()]
    assert {path.name for path in written} == {"footprint-1.png", "footprint.html"}
    assert (run / "footprint-1.png").read_bytes().startswith(b"\x89PNG")
    text = (run / "footprint.html").read_text(encoding="utf-8")
    for answer in ("2,101,248", "18.04 MiB", "234.4 GiB", "98.4"):
        assert answer in text, f"the page does not say {answer}"
    assert "standard error" not in text, "points on a line leave nothing to be unsure of"
    assert '<td class="n">4,096</td>' in text
    assert "http" not in text.split("</style>")[1].replace("http://www.w3.org", "")


@pytest.mark.slow
def test_every_other_notebook_runs_on_the_samples() -> None:
    """One process executes all of them: starting one takes longer than the work."""
    with kernel() as process:
        for notebook in sorted(set(NOTEBOOKS.glob("*.py")) - set(notebooks_about(FOOTPRINT))):
            run = find_run(experiments_of(notebook)[0], SAMPLES, SAMPLES)
            executed = execute(notebook, run, process)
            assert list(pictures(executed)), notebook.name
            for cell in executed.cells:
                for output in cell.get("outputs", []):
                    assert output.output_type != "stream", f"{notebook.name} warns: {output.text}"


def test_every_notebook_has_a_sample_run() -> None:
    sampled = {load_run(sample).manifest.experiment.name for sample in SAMPLE_RUNS}
    for notebook in NOTEBOOKS.glob("*.py"):
        named = experiments_of(notebook)
        assert named, f"{notebook.name} does not say what it is about"
        assert set(named) <= sampled, notebook.name


def test_a_directory_that_is_no_run_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_a_notebook_that_fails_is_named(tmp_path: Path, finished: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text('# %% tags=["parameters"]\nrun_path = None\n# %%\n1 / 0\n', encoding="utf-8")
    with pytest.raises(BrokenNotebook, match=r"(?s)broken.py.*ZeroDivisionError"):
        execute(broken, finished)
