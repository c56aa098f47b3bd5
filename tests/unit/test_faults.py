# SPDX-License-Identifier: Apache-2.0
"""A fault of the guest's kernel in any attempt is never lost, whatever later attempts do."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from helpers import fake_guest
from helpers.fake_guest import BOOT, option
from helpers.synthetic_runs import LINE, FakeGuestRun, SyntheticRun, compared, pages

from driver.cli.main import main
from driver.errors import (
    EmulatorFault,
    EmulatorLost,
    GuestError,
    GuestLost,
    GuestSplat,
    GuestTimeout,
    HostOverloaded,
    UserError,
    WorkloadFailed,
)
from driver.experiment.conclusion import read_conclusion
from driver.experiment.definition import Retry
from driver.experiment.run_manifest import planned_run
from driver.guest.job import Job
from driver.htmlreport.page import render
from driver.results.directory import RunDirectory
from driver.results.faults import check_kinds, of_records, of_rows, rows_of
from driver.results.manifest import read_manifest
from driver.results.reader import fault_rows, read_run
from driver.results.record import Attempt, TrialRecord, read_record
from driver.results.schema import ADDED_TRIAL_COLUMNS
from driver.results.writer import write_tables

OOPS = """\
[    5.000000] BUG: kernel NULL pointer dereference, address: 0000000000000008
[    5.000001] Oops: Oops: 0000 [#1] PREEMPT SMP
[    5.000002] CPU: 0 UID: 0 PID: 77 Comm: footprint Not tainted 6.12.0 #1
[    5.000003] Call Trace:
[    5.000004] ---[ end trace 0000000000000000 ]---
"""
WARN = """\
[    5.000000] ------------[ cut here ]------------
[    5.000001] WARNING: CPU: 0 PID: 77 at mm/memory.c:4711 do_fault+0x1/0x2
[    5.000002] ---[ end trace 0000000000000000 ]---
"""
QUIET = "[    0.000000] Linux version 6.12.0\n[    1.500000] guest ready\n"


class Kernel:
    """The kernel of all guests of a bench: ``consoles`` is what the next guests print.

    Its complaint ends the job, as it does in a real guest.
    """

    def __init__(self, bench: FakeGuestRun, monkeypatch: pytest.MonkeyPatch) -> None:
        self.printed: dict[str, list[str]] = {}
        self.seen: Counter[str] = Counter()
        self._now = QUIET
        for factory in bench.factories.values():
            factory.misbehave = self.run
        monkeypatch.setattr(fake_guest.Guest, "console_text", lambda _guest: self._now)

    def complain(self, processes: int, *consoles: str) -> None:
        """What the first guests print that have so many processes; later ones print nothing."""
        self.printed[str(processes)] = list(consoles)

    def run(self, job: Job) -> None:
        name = option(job, "--processes")
        left = self.printed.get(name, [])
        self._now = QUIET + (left.pop(0) if left else "")
        if "Oops" in self._now:
            raise GuestSplat("the guest's kernel reported oops: ...", kind="oops", excerpt=OOPS)


@pytest.fixture
def bench(tmp_path: Path) -> FakeGuestRun:
    only = {"kernel": ["baseline"], "processes": ["1", "4"], "gib": ["1"], "entry": ["4K"]}
    found = FakeGuestRun(tmp_path / "results", only=only)
    retrying = found.definition.experiment.model_copy(
        update={"retry": Retry(attempts=3, after=("splat", "lost", "timeout"))}
    )
    found.definition = dataclasses.replace(found.definition, experiment=retrying)
    return found


@pytest.fixture
def kernel(bench: FakeGuestRun, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(bench, monkeypatch)


def show(run: RunDirectory, *options: str) -> int:
    return status("show", str(run.path), *options)


def status(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    code = left.value.code
    assert isinstance(code, int)
    return code


def trial(bench: FakeGuestRun, processes: int) -> str:
    return next(one.id for one in bench.plan if one.factors["processes"] == processes)


def test_a_retry_does_not_take_a_splat_back(
    bench: FakeGuestRun, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.complain(4, OOPS, OOPS)
    conclusion = bench.run()
    run, name = conclusion.directory, trial(bench, 4)
    assert set(conclusion.run.trials["verdict"]) == {"ok"}, "every trial has a result"
    assert conclusion.verdicts.failures == []
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == GuestSplat.exit_status
    assert f"oops (2); the first: {name}, attempt 1" in complaint.message
    assert str(complaint.hint).endswith(f": driver show {run.name} --allow-splat oops")
    assert "--resume" not in str(complaint.hint), "no trial has to be run again"

    consoles = [run.console(name, number).read_text() for number in (1, 2)]
    assert consoles == [QUIET + OOPS] * 2
    assert run.console(name).read_text() == QUIET
    record = read_record(run, name)
    assert record is not None
    assert [attempt.verdict for attempt in record.attempts] == ["splat", "splat", "ok"]
    assert [attempt.excerpt for attempt in record.attempts] == [OOPS, OOPS, ""]

    row = read_run(run.path).trials.set_index("trial").loc[name]
    assert (row["verdict"], row["attempts"], row["faults"]) == ("ok", 3, "oops oops")
    assert show(run) == GuestSplat.exit_status
    captured = capsys.readouterr()
    assert "at fault in 1 trial: oops (2)" in " ".join(captured.out.split())
    assert "NULL pointer" in captured.err, "the evidence is shown"
    page = render(conclusion)
    assert "at fault in 1 trial: oops (2)" in page
    assert page.count("kernel NULL pointer dereference, address") >= 2
    assert 'class="verdict bad"' in page


def test_a_list_names_what_was_at_fault(
    bench: FakeGuestRun,
    kernel: Kernel,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernel.complain(1, OOPS, OOPS, OOPS)
    kernel.complain(4, OOPS)
    run = bench.run().directory
    root = run.path.parent.parent
    (root / "kernel-patches").mkdir()
    (root / "experiments").mkdir()
    (root / "guest-images").mkdir()
    (root / "pyproject.toml").touch()
    monkeypatch.setenv("DRIVER_PROJECT", str(root))
    status("list")
    line = next(line for line in capsys.readouterr().out.splitlines() if run.name in line)
    ok = len(bench.plan) - 1
    assert f"complete, {ok} of {len(bench.plan)} trials finished, 1 splat" in line
    assert "at fault in 2 trials: oops (4)" in line


def test_resuming_does_not_take_a_splat_back(bench: FakeGuestRun, kernel: Kernel) -> None:
    kernel.complain(4, OOPS, OOPS, OOPS)
    run = bench.begin()
    assert bench.run(run).failed
    bench.manifest, _, _ = planned_run(run)
    second = bench.run(run)
    assert not second.failed
    complaint = second.complaint()
    assert complaint is not None
    assert complaint.exit_status == GuestSplat.exit_status
    name = trial(bench, 4)
    assert sorted(path.name for path in run.consoles.glob(f"{name}*")) == [
        *(f"{name}.attempt-{number}.log" for number in (1, 2, 3)),
        f"{name}.log",
    ]


def test_a_splat_survives_a_driver_that_is_killed_in_the_next_attempt(
    bench: FakeGuestRun, kernel: Kernel
) -> None:
    kernel.complain(4, OOPS)
    run, name = bench.begin(), trial(bench, 4)

    def die_in_the_second(job: Job) -> None:
        if kernel.seen[name] and option(job, "--processes") == "4":
            raise KeyboardInterrupt
        kernel.seen[name] += option(job, "--processes") == "4"
        kernel.run(job)

    for factory in bench.factories.values():
        factory.misbehave = die_in_the_second
    with pytest.raises(KeyboardInterrupt):
        bench.run(run)
    record = read_record(run, name)
    assert record is not None
    assert [fault.kind for fault in record.faults] == ["oops"]
    assert read_conclusion(run).complaint() is not None
    for factory in bench.factories.values():
        factory.misbehave = kernel.run
    bench.manifest, _, _ = planned_run(run)
    assert bench.run(run).faults.kinds() == "oops (1)"
    assert OOPS in run.console(name, 1).read_text()


def test_a_console_that_was_renamed_by_a_killed_driver_stays(
    bench: FakeGuestRun, kernel: Kernel
) -> None:
    kernel.complain(4, OOPS, OOPS, OOPS)
    run, name = bench.run().directory, trial(bench, 4)
    # Killed between the console of attempt 4 and its record: the console is of no attempt.
    run.console(name).rename(run.console(name, 3))
    run.console(name).write_text("of an attempt that does not count")
    bench.manifest, _, _ = planned_run(run)
    bench.run(run)
    assert OOPS in run.console(name, 3).read_text()
    assert run.console(name).read_text() == QUIET


@pytest.mark.parametrize(
    ("error", "kinds"),
    [
        (EmulatorLost("QEMU was killed by SIGKILL"), ""),
        (EmulatorFault("a breakpoint that is not there"), ""),
        (HostOverloaded("the trial did not finish"), ""),
        (GuestLost("the guest reset without a word"), "lost (1)"),
        (GuestTimeout("the trial did not finish"), "timeout (1)"),
    ],
)
def test_the_host_is_forgiven_and_counted_and_the_guest_is_not(
    bench: FakeGuestRun, kernel: Kernel, error: GuestError, kinds: str
) -> None:
    def once(job: Job) -> None:
        kernel.seen["all"] += 1
        if kernel.seen["all"] == 1:
            raise error
        kernel.run(job)

    for factory in bench.factories.values():
        factory.misbehave = once
    conclusion = bench.run()
    assert conclusion.faults.kinds() == kinds
    assert conclusion.faults.host == (0 if kinds else 1)
    complaint = conclusion.complaint()
    assert (complaint is None) is (not kinds)
    if complaint is not None:
        assert complaint.exit_status == error.exit_status
    else:
        assert "1 attempt failed because of the host" in conclusion.faults.sentences()[0]
    assert conclusion.run.trials["host_faults"].sum() == conclusion.faults.host


def test_what_is_allowed_is_shown_and_decides_nothing(
    bench: FakeGuestRun, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.complain(4, OOPS)
    run = bench.run().directory
    assert show(run, "--allow-splat", "warn") == GuestSplat.exit_status
    capsys.readouterr()
    assert show(run, "--allow-splat", "oops") == 0
    assert "oops (1)" in capsys.readouterr().out
    assert show(run, "--allow-splat", "oop") == UserError.exit_status
    assert "Did you mean 'oops'?" in capsys.readouterr().err
    check_kinds(["lost", "timeout", "workload", "kasan"])


def test_an_allowed_complaint_ends_no_trial_and_is_recorded(
    bench: FakeGuestRun, kernel: Kernel
) -> None:
    run = bench.begin()
    options = bench.manifest.options.model_copy(update={"allow_splat": ("warn",)})
    bench.manifest = bench.manifest.model_copy(update={"options": options})
    kernel.complain(4, WARN)
    conclusion = bench.run(run)
    assert {factory.tolerated for factory in bench.factories.values()} == {frozenset({"warn"})}
    record = read_record(run, trial(bench, 4))
    assert record is not None
    assert [attempt.verdict for attempt in record.attempts] == ["ok"]
    assert "mm/memory.c:4711" in record.last.excerpt
    assert conclusion.faults.kinds() == "warn (1)"
    assert conclusion.complaint() is None
    assert show(run) == 0, "the run remembers what it was allowed"


def test_a_complaint_nobody_looked_for_fails_the_trial(bench: FakeGuestRun, kernel: Kernel) -> None:
    kernel.complain(4, WARN, WARN, WARN)
    conclusion = bench.run()
    assert [record.last.verdict for record in conclusion.failed] == ["splat"]
    assert conclusion.faults.kinds() == "warn (3)"


def test_a_run_left_with_its_tables_still_tells(
    bench: FakeGuestRun, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.complain(4, OOPS)
    run = bench.run().directory
    for path in (*run.trials.iterdir(), *run.consoles.iterdir(), *run.raw.iterdir()):
        path.unlink()
    found = read_conclusion(run)
    assert found.faults.kinds() == "oops (1)"
    assert show(run) == GuestSplat.exit_status
    assert "oops (1)" in capsys.readouterr().err
    assert of_rows(rows_of(run, read_manifest(run))) == of_rows(fault_rows(found.run))


def test_tables_of_earlier_versions_can_be_read(bench: FakeGuestRun, kernel: Kernel) -> None:
    kernel.complain(4, OOPS, OOPS, OOPS)
    run = bench.run().directory
    table = pd.read_csv(run.trials_csv, dtype=str, keep_default_na=False)
    table.drop(columns=sorted(ADDED_TRIAL_COLUMNS)).to_csv(run.trials_csv, index=False)
    for path in run.trials.iterdir():
        path.unlink()
    found = read_conclusion(run)
    assert found.faults.kinds() == "splat (1)"
    assert found.complaint() is not None


def test_records_of_earlier_versions_name_the_kind() -> None:
    message = "the guest's kernel reported lockdep-rcu: WARNING: suspicious RCU usage"
    attempts = [
        Attempt(verdict="splat", message=message, host_seconds=1),
        Attempt(verdict="lost", message="QEMU was killed by SIGKILL", host_seconds=1),
        Attempt(verdict="ok", host_seconds=1),
    ]
    record = TrialRecord(id="a", sequence=0, repeat=0, factors={}, argv=["a"], attempts=attempts)
    assert of_records([record]).kinds() == "lockdep-rcu (1)"


def test_the_boot_of_the_template_belongs_to_the_run(
    bench: FakeGuestRun, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    run = bench.run().directory
    (boot,) = run.consoles.glob("boot-*.log")
    assert boot.read_text() == BOOT
    record = read_record(run, bench.plan[0].id)
    assert record is not None
    assert record.last.boot == boot.name
    assert status("logs", str(run.path), bench.plan[0].id) == 0
    out = capsys.readouterr().out
    assert "Freeing unused kernel image memory" in out
    assert "guest ready" in out


def test_the_console_of_any_attempt_can_be_shown(
    bench: FakeGuestRun, kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.complain(4, OOPS)
    run, name = bench.run().directory, trial(bench, 4)
    capsys.readouterr()
    assert status("logs", str(run.path), name, "--attempt", "1", "--console") == 0
    assert capsys.readouterr().out == BOOT + QUIET + OOPS
    assert status("logs", str(run.path), name, "--attempt", "3") == UserError.exit_status
    assert "there is no attempt 3" in capsys.readouterr().err
    assert status("logs", str(run.path), "--failed") == 0
    assert name in capsys.readouterr().out


@pytest.fixture
def sides(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    def make(**changes: object) -> tuple[Path, Path]:
        outcomes = {**LINE, **changes.pop("outcomes", {})}  # type: ignore[dict-item]
        a = SyntheticRun(tmp_path / "a", LINE)
        b = SyntheticRun(tmp_path / "b", outcomes, **changes)  # type: ignore[arg-type]
        return a.write().path, b.write().path

    return make


def test_a_comparison_with_a_run_that_splatted_fails(
    sides: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sides(outcomes={("new", 4): ["splat"]})
    assert status("compare", str(a), str(b), "--fail-on", "*!=0") == GuestSplat.exit_status
    captured = capsys.readouterr()
    assert "only A has a result for 1 trial that both planned" in captured.out
    assert "B: kernel or workload at fault in 1 trial: splat (1)" in captured.out
    assert status("compare", str(a), str(b)) == GuestSplat.exit_status, "without conditions, too"


def test_a_comparison_with_half_a_run_is_a_difference(
    sides: Callable[..., tuple[Path, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = sides(status="interrupted")
    run = RunDirectory(b)
    for name in ("new_1_r1", "new_2_r1", "new_4_r1"):
        (run.trials / f"{name}.json").unlink()

    write_tables(run, read_manifest(run))
    for order in ((a, b), (b, a)):
        assert status("compare", *map(str, order), "--fail-on", "pages!=0") == 1
        captured = capsys.readouterr()
        assert "have not finished the same trials" in captured.err
        assert "3 trials" in captured.err
    assert status("compare", str(a), str(b), "--json") == 1
    assert json.loads(capsys.readouterr().out)["unlike"]


def test_other_plans_are_no_difference(tmp_path: Path) -> None:
    less = {key: value for key, value in LINE.items() if key[1] != 4}
    assert compared(tmp_path, LINE, less).complaint() is None


def test_a_lost_trial_on_one_side_is_a_difference_too(tmp_path: Path) -> None:
    found = compared(tmp_path, LINE, {**LINE, ("new", 2): ["lost"]})
    complaint = found.complaint()
    assert complaint is not None
    assert complaint.exit_status == 1
    assert compared(tmp_path / "same", LINE, {**LINE, ("new", 2): pages(20)}).complaint() is None


def test_a_workload_that_failed_once_is_named(bench: FakeGuestRun, kernel: Kernel) -> None:
    experiment = bench.definition.experiment.model_copy(
        update={"retry": Retry(attempts=2, after=("workload",))}
    )
    bench.definition = dataclasses.replace(bench.definition, experiment=experiment)

    def once(job: Job) -> None:
        kernel.seen["all"] += 1
        if kernel.seen["all"] == 1:
            raise WorkloadFailed("`footprint` was killed by SIGSEGV")
        kernel.run(job)

    for factory in bench.factories.values():
        factory.misbehave = once
    complaint = bench.run().complaint()
    assert complaint is not None
    assert complaint.exit_status == WorkloadFailed.exit_status
    assert "SIGSEGV" in complaint.message
