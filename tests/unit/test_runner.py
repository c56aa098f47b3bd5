# SPDX-License-Identifier: Apache-2.0
"""Running, failing, interrupting and resuming a plan on behaving guests."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest
from helpers.fake_guest import option
from helpers.synthetic_runs import FakeGuestRun

from driver.errors import EmulatorLost, GuestSplat, HostError, UserError, WorkloadFailed
from driver.experiment.estimate import time_left
from driver.experiment.run_manifest import check_same_guests, planned_run
from driver.experiment.work import Prepared
from driver.guest.job import Job
from driver.progress import SilentReporter
from driver.results.columns import COLUMNS
from driver.results.manifest import read_manifest
from driver.results.reader import read_run
from driver.results.record import read_record
from driver.validity import Accelerator, Validity

SMALL = {"processes": ["1", "4"], "gib": ["1"]}


def processes(job: Job) -> int:
    return int(option(job, "--processes"))


@pytest.fixture
def bench(tmp_path: Path) -> FakeGuestRun:
    return FakeGuestRun(tmp_path / "results", only=SMALL)


def test_a_run_leaves_everything_on_disk(bench: FakeGuestRun) -> None:
    conclusion = bench.run()
    assert conclusion.complaint() is None
    run = conclusion.directory
    assert (bench.results / "latest").resolve() == run.path
    manifest = read_manifest(run)
    assert manifest.status == "complete"
    assert manifest.finished is not None
    assert manifest.experiment.text == bench.definition.text
    assert len(list(run.trials.iterdir())) == len(bench.plan) == 12
    for trial in bench.plan:
        assert "guest ready" in (run.consoles / f"{trial.id}.log").read_text()
        assert (run.raw / f"{trial.id}.jsonl.gz").is_file()
    loaded = read_run(run.path)
    assert set(loaded.trials["verdict"]) == {"ok"}
    assert list(loaded.trials["trial"]) == [trial.id for trial in bench.plan]
    assert not list(run.path.rglob(".*")), "temporary files remain"
    assert not run.scratch.exists()


def test_a_failure_is_a_row_and_stops_nobody(bench: FakeGuestRun) -> None:
    def splat(job: Job) -> None:
        if processes(job) == 4:
            raise GuestSplat("WARNING in mm/memory.c", kind="warning", excerpt="Call Trace:")

    for factory in bench.factories.values():
        factory.misbehave = splat
    conclusion = bench.run()
    trials = conclusion.run.trials.set_index("trial")
    assert len(trials) == 12
    bad = trials[trials["processes"] == 4]
    assert set(bad["verdict"]) == {"splat"}
    assert set(bad["attempts"]) == {1}, "a splat is evidence, not bad luck: it is not retried"
    assert set(bad["excerpt"]) == {"Call Trace:"}
    assert set(trials[trials["processes"] == 1]["verdict"]) == {"ok"}
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == GuestSplat.exit_status
    assert "6 of 12 trials failed" in complaint.message
    assert "--resume" in (complaint.hint or "")


def test_a_lost_guest_is_tried_again(bench: FakeGuestRun) -> None:
    seen: Counter[str] = Counter()

    def lose_first(job: Job) -> None:
        key = " ".join(job.argv)
        seen[key] += 1
        if processes(job) == 4 and seen[key] == 1:
            raise EmulatorLost("QEMU was killed by SIGKILL")

    factory = next(iter(bench.factories.values()))
    factory.misbehave = lose_first
    conclusion = bench.run()
    assert conclusion.complaint() is None
    attempts = Counter(conclusion.run.trials["attempts"])
    assert attempts == {1: 10, 2: 2}
    record = read_record(conclusion.directory, "baseline_off_2M_4_1_r1")
    assert record is not None
    assert [attempt.verdict for attempt in record.attempts] == ["lost", "ok"]
    assert (record.faults, record.host_faults) == ([], 1), "counted, and forgiven"


def test_a_workload_that_says_no_or_skips_a_phase_has_failed(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only={**SMALL, "kernel": ["baseline"]})
    trial = bench.plan[0]
    object.__setattr__(trial, "phases", ("before", "after"))
    conclusion = bench.run()
    row = conclusion.run.trials.set_index("trial").loc[trial.id]
    assert row["verdict"] == "workload"
    assert "expected before, after" in row["message"]


def test_a_counter_that_cannot_be_read_is_a_row_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = FakeGuestRun(tmp_path, only={"processes": ["1"], "gib": ["1"], "kernel": ["baseline"]})
    monkeypatch.setattr("helpers.fake_guest.PAGE_KIB", "x")  # 3 * "x" is no number of kB
    conclusion = bench.run()
    assert set(conclusion.run.trials["verdict"]) == {"unreadable"}
    assert "PageTables:" in conclusion.run.trials["message"][0]
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == WorkloadFailed.exit_status
    verdicts = COLUMNS["trials.csv"]["verdict"][1]
    assert "`unreadable`" in verdicts


@pytest.mark.parametrize("jobs", [1, 3])
def test_an_interrupt_ends_guests_and_leaves_a_resumable_run(
    bench: FakeGuestRun, jobs: int
) -> None:
    undisturbed = {trial.id for trial in bench.plan}

    class Interrupting(SilentReporter):
        """A person pressing Ctrl-C while a later trial runs."""

        def progress(self, done: int, total: int | None, label: str = "") -> None:  # noqa: ARG002
            if done == 5:
                raise KeyboardInterrupt

    run = bench.begin(jobs)
    with pytest.raises(KeyboardInterrupt):
        bench.run(run, reporter=Interrupting())
    assert all(factory.alive == 0 for factory in bench.factories.values())
    assert read_manifest(run).status == "interrupted"
    finished = {path.stem: path.stat().st_mtime_ns for path in run.trials.iterdir()}
    assert 5 <= len(finished) < len(undisturbed)
    pending = read_run(run.path).trials
    assert set(pending["verdict"]) == {"ok", "pending"}

    manifest, definition, plan = planned_run(run)
    assert definition.experiment == bench.definition.experiment
    assert {trial.id for trial in plan} == undisturbed
    conclusion = bench.run(run)
    assert conclusion.complaint() is None
    assert list(conclusion.run.trials["trial"]) == [trial.id for trial in bench.plan]
    for trial, modified in finished.items():
        assert (run.trials / f"{trial}.json").stat().st_mtime_ns == modified, "ran twice"
    assert manifest.status == "interrupted"


def test_an_interrupt_does_not_wait_for_wedged_guests(bench: FakeGuestRun) -> None:
    for factory in bench.factories.values():
        factory.wedged = True
    run = bench.begin(jobs=3)
    interrupt = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT])
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        bench.run(run)
    interrupt.join()
    assert all(factory.alive == 0 for factory in bench.factories.values())
    assert not list(run.trials.iterdir()), "a trial that was cut short is as if never begun"
    assert read_manifest(run).status == "interrupted"


def test_a_resumed_run_equals_an_undisturbed_one(tmp_path: Path) -> None:
    whole = FakeGuestRun(tmp_path / "a", only=SMALL).run()
    broken = FakeGuestRun(tmp_path / "b", only=SMALL)
    run = broken.begin()
    with run.lock():
        pass
    broken.factories = {**broken.factories}
    first = next(iter(broken.factories.values()))

    def out_of_disk(job: Job) -> None:
        if processes(job) == 4:
            raise HostError("no space left on device")

    first.misbehave = out_of_disk
    with pytest.raises(HostError):
        broken.run(run)
    first.misbehave = lambda _job: None
    mended = broken.run(run)
    columns = [name for name in whole.run.samples.columns if name != "run"]
    assert mended.run.samples[columns].equals(whole.run.samples[columns])


def test_resume_tries_failed_trials_again(bench: FakeGuestRun) -> None:
    factory = next(iter(bench.factories.values()))

    def lose(job: Job) -> None:
        raise EmulatorLost("gone")

    factory.misbehave = lose
    run = bench.begin()
    first = bench.run(run)
    assert first.complaint() is not None
    factory.misbehave = lambda _job: None
    forks = factory.forks
    second = bench.run(run)
    assert second.complaint() is None
    assert factory.forks - forks == 4
    record = read_record(run, "baseline_off_2M_1_1_r1")
    assert record is not None
    assert [attempt.verdict for attempt in record.attempts] == ["lost", "lost", "ok"]


def test_what_a_killed_driver_left_behind_is_cleared(bench: FakeGuestRun) -> None:
    run = bench.begin()
    left = run.scratch / bench.plan[0].id / "console.log"
    left.parent.mkdir(parents=True)
    left.write_text("of a guest that was cut short\n")
    for half in (
        run.trials / ".a.json.4711",
        run.raw / ".a.gz.4711",
        run.path / ".trials.csv.4711",
    ):
        half.write_text("half")
    assert bench.run(run).complaint() is None
    assert not run.scratch.exists()
    assert not list(run.path.rglob(".*"))


def test_what_a_person_keeps_in_a_run_is_not_swept_away(bench: FakeGuestRun) -> None:
    run = bench.begin()
    checkpoints = run.path / ".ipynb_checkpoints"
    checkpoints.mkdir()
    notes = run.consoles / ".notes"
    notes.write_text("look at the third trial")
    assert bench.run(run).complaint() is None
    assert checkpoints.is_dir()
    assert notes.exists()


def test_a_run_belongs_to_one_driver(bench: FakeGuestRun) -> None:
    run = bench.begin()
    with run.lock(), pytest.raises(UserError, match="another driver"):
        bench.run(run)
    assert bench.run(run).complaint() is None


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        ("kernel", {"digest": "new"}, "kernel"),
        ("image", {"digest": "new"}, "image"),
        ("machine", {"vcpus": 4}, "machine"),
        ("qemu", {"version": "QEMU emulator version 9.0.0"}, "QEMU"),
        ("qemu", {"argv": ["-cpu", "qemu64"]}, "command line of QEMU"),
    ],
)
def test_a_changed_guest_is_not_mixed_in(
    bench: FakeGuestRun, part: str, change: dict[str, object], said: str
) -> None:
    manifest, _, _ = planned_run(bench.run().directory)
    work = bench.work
    check_same_guests(manifest, work.guests)
    request, prepared = next(iter(work.guests.items()))
    other = {part: getattr(prepared.record, part).model_copy(update=change)}
    changed = Prepared(prepared.factory, prepared.record.model_copy(update=other))
    with pytest.raises(UserError, match=rf"the {said} of the run \S+ has changed"):
        check_same_guests(manifest, {**work.guests, request: changed})


def test_an_exact_run_keeps_digests(tmp_path: Path) -> None:
    exact = Validity(Accelerator.ICOUNT, 3)
    bench = FakeGuestRun(tmp_path, only=SMALL, validity=exact, digest_nvdimm=True)
    run = bench.run().directory
    records = [read_record(run, trial.id) for trial in bench.plan]
    found = [record.digests for record in records if record]
    assert all(set(digests) == {"console", "result", "nvdimm"} for digests in found)
    assert len({digests["console"] for digests in found}) == 1
    # One result per combination of kernel, sharing and processes differs from all others.
    assert len({digests["result"] for digests in found}) > 3


def test_the_digest_of_the_nvdimm_is_taken_where_it_is_asked_for(tmp_path: Path) -> None:
    exact = Validity(Accelerator.ICOUNT, 3)
    plain = FakeGuestRun(tmp_path / "plain", only=SMALL, validity=exact)
    record = read_record(plain.run().directory, plain.plan[0].id)
    assert record is not None
    assert set(record.digests) == {"console", "result"}
    about_it = FakeGuestRun(tmp_path / "about", only=SMALL, validity=exact)
    asking = about_it.definition.experiment.model_copy(update={"digest_nvdimm": True})
    about_it.definition = dataclasses.replace(about_it.definition, experiment=asking)
    record = read_record(about_it.run().directory, about_it.plan[0].id)
    assert record is not None
    assert set(record.digests) == {"console", "result", "nvdimm"}


def test_a_run_that_goes_on_takes_the_digests_it_began_with(tmp_path: Path) -> None:
    exact = Validity(Accelerator.ICOUNT, 3)
    bench = FakeGuestRun(tmp_path, only=SMALL, validity=exact, digest_nvdimm=True)
    run = bench.run().directory
    (run.trials / f"{bench.plan[0].id}.json").unlink()
    bench.manifest, _, _ = planned_run(run)
    bench.run(run)
    record = read_record(run, bench.plan[0].id)
    assert record is not None
    assert "nvdimm" in record.digests


def test_an_ordinary_run_promises_no_digests(bench: FakeGuestRun) -> None:
    run = bench.run().directory
    for trial in bench.plan:
        record = read_record(run, trial.id)
        assert record is not None
        assert record.digests == {}


def test_a_slow_host_gets_more_time(bench: FakeGuestRun) -> None:
    for factory in bench.factories.values():
        factory.slow = 3.0
    bench.run(bench.begin(jobs=2))
    seen = {deadline.seconds for factory in bench.factories.values() for deadline in factory.seen}
    assert seen == {6.0 * trial.job.timeout for trial in bench.plan}


def test_a_full_disk_ends_the_run_before_a_guest_writes_into_it(
    bench: FakeGuestRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """QEMU drops what it cannot write of the console, and with it what the kernel complained of."""
    started: list[Job] = []
    for factory in bench.factories.values():
        factory.misbehave = started.append
    real = os.statvfs

    def full(path: Path) -> os.statvfs_result:
        found = list(real(path))
        found[4] = 0  # f_bavail
        return os.statvfs_result(found)

    run = bench.begin()
    monkeypatch.setattr(os, "statvfs", full)
    with pytest.raises(HostError, match="the disk is full"):
        bench.run(run)
    assert started == []
    monkeypatch.undo()
    assert bench.run(run).complaint() is None


def test_progress_tells_the_time_left(bench: FakeGuestRun) -> None:
    labels: list[str] = []

    class Listening(SilentReporter):
        def progress(self, done: int, total: int | None, label: str = "") -> None:  # noqa: ARG002
            labels.append(label)

    bench.run(reporter=Listening())
    assert labels[1].endswith(" s left")
    assert labels[-1] == bench.plan[-1].id


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (99, "99 s"), (150, "2 min"), (5940, "99 min"), (9000, "2.5 h")],
)
def test_time_left_in_words(seconds: float, words: str) -> None:
    now = iter([0.0, seconds])
    left = time_left(2, clock=lambda: next(now))
    assert left() == f", about {words} left"
    assert left() == ""


def test_an_exact_run_goes_on_from_the_same_templates(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only=SMALL, validity=Validity(Accelerator.ICOUNT, 3))
    manifest, _, _ = planned_run(bench.run().directory)
    assert "on any host" in manifest.valid["repeats"]
    work = bench.work
    check_same_guests(manifest, work.guests)
    request, prepared = next(iter(work.guests.items()))
    qemu = prepared.record.qemu.model_copy(update={"template_digests": {"console.log": "another"}})
    changed = Prepared(prepared.factory, prepared.record.model_copy(update={"qemu": qemu}))
    with pytest.raises(UserError, match=r"template of the run \S+ has changed"):
        check_same_guests(manifest, {**work.guests, request: changed})


def test_times_of_guests_side_by_side_are_not_valid(tmp_path: Path) -> None:
    bench = FakeGuestRun(tmp_path, only=SMALL, validity=Validity(Accelerator.KVM))
    bench.begin(jobs=1)
    assert bench.manifest.valid["time"] == "valid on an idle host"
    bench.begin(jobs=2)
    assert bench.manifest.valid["time"] == "not valid: 2 guests ran side by side"


def test_trials_in_parallel_give_the_same_samples(tmp_path: Path) -> None:
    one = FakeGuestRun(tmp_path / "one", only=SMALL).run(jobs=1).run.samples
    four = FakeGuestRun(tmp_path / "four", only=SMALL).run(jobs=4).run.samples
    columns = [name for name in one.columns if name != "run"]
    assert one[columns].equals(four[columns])
