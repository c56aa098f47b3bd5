# SPDX-License-Identifier: Apache-2.0
"""A kernel that never boots leaves a run with a verdict and its console."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.synthetic_runs import FakeGuestRun, guest_record

from driver.errors import EmulatorLost, GuestError, GuestSplat, GuestTimeout
from driver.experiment.boot_failure import NeverReady, record_boot_failure
from driver.experiment.conclusion import Conclusion
from driver.experiment.plan import guests
from driver.experiment.run_manifest import check_same_guests, planned_run
from driver.experiment.work import Prepared, Work
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest
from driver.results.record import read_record

PANIC = "[    0.000000] Kernel panic - not syncing: no working init found\n"


@pytest.fixture
def bench(tmp_path: Path) -> FakeGuestRun:
    return FakeGuestRun(tmp_path / "results", only={"processes": ["1"], "gib": ["1"]})


def fail(bench: FakeGuestRun, run: RunDirectory, error: GuestError, tmp_path: Path) -> Conclusion:
    """The second kind of guest of a plan does not boot."""
    error.log = tmp_path / "console.log"
    error.log.write_text(PANIC if isinstance(error, GuestSplat) else "")
    first, dead = guests(bench.plan)
    record = guest_record(dead, bench.validity, kernel_digest=dead.kernel.series)
    lost = record.qemu.model_copy(update={"template": None, "template_digests": None})
    record = record.model_copy(update={"qemu": lost})
    prepared = {first: bench.work.guests[first], dead: Prepared(None, record)}
    work = Work(bench.definition, bench.plan, prepared)
    manifest = bench.manifest.model_copy(
        update={"guests": [item.record for item in prepared.values()]}
    )
    with run.lock():
        return record_boot_failure(run, manifest, work, NeverReady.of(dead, record, error))


@pytest.mark.parametrize(
    ("error", "status", "kinds"),
    [
        (GuestSplat("the guest's kernel reported panic", kind="panic"), 4, "panic"),
        (GuestTimeout("booting the guest did not finish within 120 s"), 6, "timeout"),
        (EmulatorLost("QEMU was killed by SIGKILL while booting"), 5, ""),
    ],
)
def test_it_has_a_verdict_a_console_and_a_status(
    bench: FakeGuestRun, tmp_path: Path, error: GuestError, status: int, kinds: str
) -> None:
    run = bench.begin()
    conclusion = fail(bench, run, error, tmp_path)
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == status
    assert error.message in complaint.message
    assert {fault.kind for fault in conclusion.faults.found} == ({kinds} if kinds else set())
    _, dead = guests(bench.plan)
    for trial in bench.plan:
        record = read_record(run, trial.id)
        if trial.guest != dead:
            assert record is None, "no trial was run"
            continue
        assert record is not None
        boot = run.consoles / record.last.boot
        assert boot.read_text() == (PANIC if kinds == "panic" else "")
    assert read_manifest(run).status == "interrupted"
    assert (bench.results / "latest").resolve() == run.path


def test_it_can_be_resumed_and_keeps_what_happened(bench: FakeGuestRun, tmp_path: Path) -> None:
    run = bench.begin()
    fail(bench, run, GuestTimeout("booting the guest did not finish"), tmp_path)
    manifest, _, _ = planned_run(run)
    check_same_guests(manifest, bench.work.guests)
    conclusion = bench.run(run)
    assert len(conclusion.run.finished) == len(bench.plan)
    complaint = conclusion.complaint()
    assert complaint is not None, "one of its kernels did not boot once"
    assert complaint.exit_status == GuestTimeout.exit_status
    assert conclusion.allowing(["timeout"]).complaint() is None
