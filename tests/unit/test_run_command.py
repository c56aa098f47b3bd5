# SPDX-License-Identifier: Apache-2.0
"""``driver run``, ``list`` and ``show`` as a person types them, up to where a guest would boot."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import threading
import time
from pathlib import Path

import pytest
from helpers.command_line import status_of
from helpers.synthetic_runs import FOOTPRINT, PROJECT, FakeGuestRun

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import GuestLost
from driver.guest.job import Job
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest, write_manifest


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    for folder in ("kernel-patches", "guest-images", "experiments"):
        shutil.copytree(PROJECT / folder, root / folder, symlinks=True)
    monkeypatch.setenv("DRIVER_PROJECT", str(root))
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "cache"))
    return root


@pytest.fixture
def no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Building a kernel fails the test."""
    for place in ("driver.kernel", "driver.api.preparation"):
        monkeypatch.setattr(f"{place}.build_kernel", None)


def test_a_dry_run_prints_the_plan_and_touches_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "experiment", FOOTPRINT, "--dry-run", "--only", "processes=1,64"]
    assert status_of(*arguments, "--only", "entry=4K", "--repeat", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("baseline_off_4K_1_1_r1\tfootprint ")
    assert "36 trials in 2 rounds; series none on 6.12, series dax-pt-share on 6.12" in lines
    assert any("no earlier run" in line for line in lines)
    assert not (project / "results").exists()


def test_a_dry_run_across_bases(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.is_dir()
    arguments = ["run", "experiment", FOOTPRINT, "--dry-run", "--quick", "--base", "6.12,7.2"]
    assert status_of(*arguments) == 2
    assert "the series dax-pt-share does not exist for Linux 7.2" in capsys.readouterr().err
    assert status_of(*arguments, "--only", "kernel=baseline") == 0
    assert "series none on 6.12, series none on 7.2" in capsys.readouterr().out


def test_the_kernels_that_can_be_had(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = project / "cache"
    monkeypatch.setenv("DRIVER_CACHE", str(cache))
    offers = [
        {"base": base, "version": version, "suites": [suite]}
        for base, version, suite in (
            ("6.12", "6.12.118-1", "trixie-security"),
            ("6.12", "6.12.117-1", "trixie"),
            ("7.3", "7.3.4-1~bpo13+1", "trixie-backports"),
        )
    ]
    (cache / "apt").mkdir(parents=True)
    known = {"offers": offers, "checked": time.time(), "problem": ""}
    (cache / "apt/kernels.json").write_text(json.dumps(known))
    (cache / "sources/linux-source-6.12_6.12.117-1").mkdir(parents=True)
    (cache / "sources/linux-source-6.12_6.12.117-1/source.json").touch()
    assert status_of("--quiet", "list", "kernels") == 0
    assert capsys.readouterr().out.splitlines() == [
        "6.12  6.12.118-1",
        "      trixie-security",
        "      in the cache: 6.12.117-1",
        "      series: dax-pt-share, fsdax-fixes, smaps-page-tables, none",
        "7.3   7.3.4-1~bpo13+1",
        "      trixie-backports",
        "      series: dax-pt-share, fsdax-fixes, smaps-page-tables, none",
    ]
    assert status_of("list", "--refresh") == 2
    assert "--refresh goes with `driver list kernels`" in capsys.readouterr().err


def test_an_earlier_run_gives_an_estimate(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeGuestRun(project / "results", only={"processes": ["1"]}).run().directory
    assert status_of("run", "experiment", FOOTPRINT, "--dry-run", "--quick") == 0
    assert "judged by the newest earlier run" in capsys.readouterr().out
    next(run.trials.iterdir()).write_text("{")
    assert status_of("run", "experiment", FOOTPRINT, "--dry-run", "--quick") == 0
    assert "no earlier run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "experiment", "footprint"], "Did you mean 'pagetable-footprint'?"),
        (["run", "experiment", FOOTPRINT, "--only", "processes"], "is not FACTOR=LEVEL"),
        (["run", "experiment", FOOTPRINT, "--only", "process=1"], "Did you mean 'processes'?"),
        (["run", "experiment", FOOTPRINT, "--only", "processes=3"], "no level '3'"),
        (["run", "experiment", FOOTPRINT, "--accel", "kvm", "-j", "2"], "disturb each other"),
        (["run", "--resume", "yesterday"], "no run called 'yesterday'"),
        (["run", "--resume", "x", "experiment", FOOTPRINT], "takes no experiment"),
        (["show", "yesterday"], "no run called 'yesterday'"),
    ],
)
def test_a_mistake_is_one_message(
    project: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_guests_side_by_side_under_kvm_can_be_forced(project: Path) -> None:
    arguments = ["run", "experiment", FOOTPRINT, "--accel", "kvm", "-j", "2", "--force"]
    assert status_of(*arguments, "--dry-run") == 0


def test_a_typo_in_the_experiment_names_file_and_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "experiments" / FOOTPRINT / "experiment.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('image = "dax"', 'imagee = "dax"'), encoding="utf-8")
    assert status_of("run", "experiment", FOOTPRINT, "--dry-run") == 2
    error = capsys.readouterr().err
    assert f"{path}:" in error
    assert "Did you mean 'image'?" in error


@pytest.mark.parametrize("dry", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('series = "dax-pt-share"', 'series = "dax-pt-shear"', "Did you mean 'dax-pt-share'?"),
        (
            'series = "dax-pt-share"',
            'series = "dax-pt-share", variant = "debgu"',
            "no kernel variant `debgu`",
        ),
        ('image = "dax"', 'image = "dacks"', "there is no image 'dacks'"),
    ],
)
def test_what_nobody_has_is_reported_before_anything_is_built(
    project: Path,
    old: str,
    new: str,
    message: str,
    *,
    dry: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def build(*_arguments: object, **_more: object) -> None:
        raise AssertionError("something was built first")

    monkeypatch.setattr("driver.api.preparation.build_kernel", build)
    path = project / "experiments" / FOOTPRINT / "experiment.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert status_of("run", "experiment", FOOTPRINT, *(["--dry-run"] if dry else [])) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("no_kernels")
def test_nothing_is_built_for_a_kvm_that_may_not_be_opened(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driver.guest.accel.DEVICE", project / "no-such-device")
    assert status_of("run", "experiment", FOOTPRINT, "--accel", "kvm") == 3
    assert "error: KVM cannot be used: this host has no" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["build", "shell"])
@pytest.mark.usefixtures("project", "no_kernels")
def test_an_image_that_is_not_there_is_reported_before_a_kernel_is_built(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(command, "--image", "daz") == 2
    assert "error: there is no image 'daz'" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_a_variant_that_is_not_there_is_reported_before_a_source_is_fetched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("driver.kernel.build_request.obtain", None)
    assert status_of("build", "kernel", "--variant", "debgu") == 2
    assert "error: there is no kernel variant `debgu`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--series", "there is no series ``"),
        ("--source", "--source is empty"),
        ("--image", "there is no image ''"),
        ("--variant", "there is no kernel variant ``"),
    ],
)
@pytest.mark.usefixtures("project")
def test_an_option_without_a_value_is_not_taken_for_the_default(
    option: str, message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a script, behind a variable that was not set."""
    monkeypatch.setattr("driver.kernel.sources.package.obtain", None)
    assert status_of("build", option, "") == 2
    assert f"error: {message}" in capsys.readouterr().err


def test_list_shows_questions_and_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = FakeGuestRun(project / "results", only={"processes": ["1"], "gib": ["1"]})
    name = bench.run().directory.name
    assert status_of("list") == 0
    out = capsys.readouterr().out
    assert "How much page-table memory is saved" in out
    assert f"{name}  complete, 6 of 6 trials" in out


def test_a_killed_run_is_not_taken_for_one_that_goes_on(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = FakeGuestRun(project / "results", only={"processes": ["1"], "gib": ["1"]})
    run = bench.run().directory
    write_manifest(run, read_manifest(run).model_copy(update={"status": "running"}))
    run.trials_csv.unlink()
    for lock, state, hint in (
        (contextlib.nullcontext(), "interrupted", f"Resume it: driver run --resume {run.name}"),
        (run.lock(), "running", "Wait for it."),
    ):
        with lock:
            assert status_of("list") == 0
            assert f"{run.name}  {state}, 6 of 6 trials" in capsys.readouterr().out
            assert status_of("show", "latest") == 2
            assert f"hint: {hint}" in capsys.readouterr().err


def test_who_only_asks_does_not_keep_a_driver_out(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    asking = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.1, os.close, (asking,)).start()
    with run.lock():
        assert run.in_use
    assert not run.in_use


def test_a_typo_in_one_experiment_does_not_hide_the_others(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = project / "experiments" / "five-cases" / "experiment.toml"
    path.write_text("imagee = 'dax'\n", encoding="utf-8")
    assert status_of("list") == 0
    out = capsys.readouterr().out
    assert f"five-cases\n      unreadable: {path}:1: imagee: unknown key" in out
    assert "How much page-table memory is saved" in out


def test_show_judges_from_disk(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = FakeGuestRun(project / "results", only={"gib": ["1"], "processes": ["1", "8"]})
    run = bench.run().directory
    assert status_of("show", "latest") == 0
    out = capsys.readouterr().out
    assert "12 of 12 trials finished" in out
    assert "2,101,248 B" in out
    run.samples_csv.unlink()
    assert status_of("show", run.name) == 2
    assert "--rebuild" in capsys.readouterr().err
    assert status_of("show", run.name, "--rebuild") == 0


def test_looking_changes_nothing_and_needs_no_right_to(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeGuestRun(project / "results", only={"processes": ["1"], "gib": ["1"]}).run().directory
    run.checks_csv.write_text(run.checks_csv.read_text().splitlines()[0] + "\n")
    before = run.checks_csv.stat()
    assert status_of("show", "latest") == 0
    assert "30 of 30 checks hold" in capsys.readouterr().out
    assert run.checks_csv.stat().st_ino == before.st_ino
    assert sorted(path.name for path in run.path.iterdir()) == sorted(
        ["checks.csv", "console", "manifest.json", "raw", "samples.csv", "trials", "trials.csv"]
    )
    assert status_of("show", "latest", "--rebuild") == 0
    assert len(run.checks_csv.read_text().splitlines()) > 30


def test_the_only_tables_of_a_run_are_not_made_again_from_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Such a run is in analysis/samples/: what `python -m analysis.sample` leaves."""
    run = FakeGuestRun(project / "results", only={"processes": ["1"], "gib": ["1"]}).run().directory
    for folder in (run.trials, run.raw, run.consoles):
        shutil.rmtree(folder)
    tables = {path: path.read_bytes() for path in run.path.glob("*.csv")}
    assert status_of("show", "latest", "--rebuild") == 2
    assert "has no trial records" in capsys.readouterr().err
    assert tables == {path: path.read_bytes() for path in run.path.glob("*.csv")}
    assert status_of("show", "latest") == 0


def test_a_run_that_is_not_finished_is_not_well(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = FakeGuestRun(project / "results", only={"processes": ["1"], "gib": ["1"]}).run().directory
    (run.trials / "patched_on_4K_1_1_r1.json").unlink()
    assert status_of("show", "latest", "--rebuild") == 130
    captured = capsys.readouterr()
    assert "5 of 6 trials finished" in captured.out
    assert "error: 1 of 6 trials has not been run" in captured.err
    assert f"hint: Resume it: driver run --resume {run.name}" in captured.err


def test_show_exits_like_the_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench = FakeGuestRun(project / "results", only={"gib": ["1"], "processes": ["1"]})
    next(iter(bench.factories.values())).leak = 3
    bench.run()
    assert status_of("show", "latest") == 1
    captured = capsys.readouterr()
    assert "12,288 B" in captured.out
    assert "checks do not hold" in captured.err

    def lose(job: Job) -> None:
        raise GuestLost("QEMU was killed by SIGKILL")

    bench = FakeGuestRun(project / "results", only={"gib": ["1"], "processes": ["1"]})
    next(iter(bench.factories.values())).misbehave = lose
    bench.run()
    assert status_of("show", "latest") == GuestLost.exit_status
    assert "2 of 6 trials failed" in capsys.readouterr().err


def test_a_shell_shows_the_command_of_its_guest(
    project: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = tmp_path
    kernel = KernelArtifact("k1", "6.12.1", folder / "vmlinux", folder, folder, folder, {})
    image = ImageArtifact("i1", "dax", tmp_path / "initramfs", {})
    monkeypatch.setattr("driver.api.build.kernel.build_kernel", lambda *_, **__: kernel)
    monkeypatch.setattr("driver.api.build.image.build_image", lambda *_, **__: image)
    words = ["--qemu-arg=-device", "--qemu-arg=edu", "--kernel-arg=quiet"]
    assert status_of("shell", "--show-command", "--vcpus", "1", *words) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert f"-kernel {tmp_path / 'vmlinux'}" in line
    assert "quiet' -chardev" in line
    assert line.endswith("-device edu)")


def test_words_that_would_change_what_results_mean_are_refused(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", "experiment", FOOTPRINT, "--dry-run", "--accel", "icount"]
    assert status_of(*arguments, "--qemu-arg=-nic", "--qemu-arg=user") == 2
    assert "a guest under icount cannot have QEMU's -nic" in capsys.readouterr().err
    assert status_of(*arguments, "--qemu-arg=-d", "--qemu-arg=plugin") == 0
