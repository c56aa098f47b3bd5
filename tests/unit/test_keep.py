# SPDX-License-Identifier: Apache-2.0
"""``--keep-guest``, as far as it goes without a guest: nothing else may change."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun

from driver import api
from driver.api.dumps import dump_failed, find_dump
from driver.api.keep import FailedGuest, keeping
from driver.cli.views import keep
from driver.errors import (
    GuestError,
    GuestSplat,
    GuestTimeout,
    HostError,
    UserError,
    WorkloadFailed,
)
from driver.experiment.lifecycle import carry_out
from driver.experiment.work import Work
from driver.guest.debug_sockets import HANG_ON_PANIC
from driver.guest.job import Job
from driver.progress import SilentReporter
from driver.results.manifest import Options

SMALL = {"processes": ["1"], "gib": ["1"], "kernel": ["baseline"]}


class Keeping(FakeGuestRun):
    """A bench whose guests are kept when they fail."""

    @property
    def work(self) -> Work:
        return keeping(super().work, keep.attend)


def columns(bench: FakeGuestRun) -> dict[str, list[object]]:
    conclusion = bench.run()
    assert conclusion.complaint() is None
    table = conclusion.run.samples.drop(columns="run")
    return {str(name): list(table[name]) for name in table}


def test_guests_that_do_well_are_not_disturbed(tmp_path: Path) -> None:
    kept = Keeping(tmp_path / "a", only=SMALL)
    setups = []
    for factory in kept.factories.values():
        factory.misbehave = lambda job: setups.append(job.setup)
    assert columns(kept) == columns(FakeGuestRun(tmp_path / "b", only=SMALL))
    assert {setup[0] for setup in setups} == {HANG_ON_PANIC}
    assert all(factory.alive == 0 for factory in kept.factories.values())


def test_a_failure_is_reported_and_recorded_as_ever(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def splat(_job: Job) -> None:
        raise GuestSplat("the kernel oopsed", kind="oops", excerpt="a trace")

    bench = Keeping(tmp_path, only=SMALL)
    next(iter(bench.factories.values())).misbehave = splat
    run = bench.begin()
    with run.lock():
        conclusion = carry_out(run, bench.manifest, bench.work, SilentReporter())
    assert {record.last.verdict for record in conclusion.failed} == {"splat"}
    assert "baseline_off_2M_1_1_r1 failed: the kernel oopsed" in capsys.readouterr().err


def test_a_script_may_attend_in_place_of_a_person(tmp_path: Path) -> None:
    """Once per failure, and what it raises does not lose the other trials."""
    seen: list[FailedGuest] = []

    class Attended(FakeGuestRun):
        @property
        def work(self) -> Work:
            return keeping(super().work, seen.append)

    def splat(_job: Job) -> None:
        raise GuestSplat("the kernel oopsed", kind="oops", excerpt="a trace")

    bench = Attended(tmp_path, only=SMALL)
    next(iter(bench.factories.values())).misbehave = splat
    failed = bench.run().failed
    assert [guest.trial for guest in seen] == [record.id for record in failed]
    assert {(guest.reason, type(guest.error)) for guest in seen} == {
        ("the kernel oopsed", GuestSplat)
    }
    assert not any(guest.stopping() for guest in seen)


def test_one_guest_is_attended_to_at_a_time() -> None:
    options = Options(keep_guest=True, jobs=2)
    with pytest.raises(UserError, match="one guest at a time"):
        api.run_plan(api.plan_experiment("five-cases", options, "tcg"), attend=keep.attend)


def test_a_person_needs_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(UserError, match="not a terminal") as caught:
        keep.check_terminal()
    assert "driver logs" in (caught.value.hint or "")


class Reporter(SilentReporter):
    """Remembers its notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("error", "fails", "expected"),
    [
        (GuestSplat("oops", kind="oops"), None, "dumped; see `driver debug"),
        (GuestTimeout("hung"), None, "dumped; see `driver debug"),
        (GuestSplat("oops", kind="oops"), HostError("No space left on device"), "No space left"),
        (WorkloadFailed("said no"), None, ""),
    ],
)
def test_a_guest_whose_kernel_complained_is_dumped(
    error: GuestError, fails: HostError | None, expected: str, tmp_path: Path
) -> None:
    """On a full disk there is a note, and the run goes on."""

    class Guest:
        def dump_memory(self, path: Path, _deadline: object) -> None:
            if fails is not None:
                raise fails
            path.write_bytes(b"KDUMP")

    run = FakeGuestRun(tmp_path, only=SMALL).begin()
    failed = FailedGuest("trial", "x", error, Guest(), None, None, lambda: False)  # type: ignore[arg-type]
    reporter = Reporter()
    dump_failed(failed, run, reporter)
    assert expected in "".join(reporter.notes)
    assert bool(reporter.notes) == bool(expected)
    assert run.dump("trial", 1).exists() == (fails is None and bool(expected))


def test_a_run_without_dumps_is_named(tmp_path: Path) -> None:
    conclusion = FakeGuestRun(tmp_path, only=SMALL).run()
    trial = str(conclusion.run.finished["trial"].iloc[0])
    with pytest.raises(UserError, match="there is no dump of") as error:
        find_dump(conclusion, trial)
    assert "--dump" in (error.value.hint or "")
