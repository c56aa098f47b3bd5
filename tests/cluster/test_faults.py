# SPDX-License-Identifier: Apache-2.0
"""Faults in the middle of a run on three hosts: nothing is lost, counted twice, or left behind.

Workers, nannies, scheduler, driver, links, disks and certificates are real; the guests compute
what a kernel would count, in the place of a process that can be killed like QEMU. What a run must
give is what the same plan gives on one machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.cluster_bed import ClusterBed, Process, cluster_bed, require_links, rows_of
from helpers.fault_injection import Row, until
from helpers.fault_table import PROPERTY
from helpers.skewed_clock import install
from helpers.synthetic_runs import FakeGuestRun

from driver.cluster.keys import make_keys

pytest.importorskip("distributed")

# Columns of trials.csv, from its second, that say how often something was tried.
_TRIED = ("attempts", "host_faults")


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The rows of the same plan, on one machine."""
    plan = FakeGuestRun(
        tmp_path_factory.mktemp("alone"), only={"processes": ["1", "4"], "gib": ["1"]}, repeat=3
    )
    return rows_of(plan.run().directory.path)


@pytest.fixture(scope="module")
def shared_bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterBed]:
    with cluster_bed(tmp_path_factory.mktemp("bed") / "bed") as made:
        yield made


@pytest.fixture
def bed(shared_bed: ClusterBed) -> ClusterBed:
    """A scheduler and three hosts; tests leave them broken."""
    shared_bed.repair()
    return shared_bed


@pytest.fixture
def matrix(
    record_property: Callable[[str, object], None], alone: list[Row]
) -> Callable[[str, str, ClusterBed, str], None]:
    """Adds a row to the table of faults, and compares the newest run with one machine's."""

    def add(fault: str, injected: str, bed: ClusterBed, verdict: str) -> None:
        found, wanted = Counter(untried(bed.rows())), Counter(untried(alone))
        lost, twice = wanted - found, found - wanted
        counts = (str(lost.total()), str(twice.total()))
        record_property(PROPERTY, (fault, injected, *counts, verdict))
        assert not lost, f"lost: {sorted(lost)[:5]}"
        assert not twice, f"twice or never planned: {sorted(twice)[:5]}"

    return add


Matrix = Callable[[str, str, ClusterBed, str], None]


def untried(rows: list[Row]) -> list[Row]:
    """Rows without how often a trial was tried, which is all that a fault may change."""
    heading = next(row for row in rows if row[0] == "trials.csv")
    places = {heading.index(name) for name in _TRIED if name in heading}
    return [
        tuple(cell for place, cell in enumerate(row) if place not in places)
        if row[0] == "trials.csv"
        else row
        for row in rows
    ]


def host_faults(bed: ClusterBed) -> list[str]:
    """Why leases became void, in order."""
    return [line["reason"] for line in bed.journal() if line["event"] == "failed"]


def ends_well(driver: Process, bed: ClusterBed, seconds: float = 240) -> None:
    status = driver.status(seconds)
    assert status == 0, driver.said()
    bed.assert_nothing_left()


def test_three_hosts_give_the_bytes_of_one(bed: ClusterBed, alone: list[Row]) -> None:
    ends_well(bed.start_run(), bed)
    assert bed.rows() == alone
    hosts = {line["host"] for line in bed.journal() if line["event"] == "taken"}
    assert hosts == {"a", "b", "c"}
    assert host_faults(bed) == []


def test_a_worker_is_killed(bed: ClusterBed, matrix: Matrix) -> None:
    driver = bed.start_run()
    bed.mid_run(driver, host="b")
    os.kill(bed.worker("b"), signal.SIGKILL)
    ends_well(driver, bed)
    assert len(host_faults(bed)) == 1, host_faults(bed)
    matrix("worker killed", "SIGKILL in mid-run", bed, "host fault, tried elsewhere")


@pytest.mark.slow
def test_a_nanny_is_killed(bed: ClusterBed, matrix: Matrix) -> None:
    driver = bed.start_run()
    bed.mid_run(driver, host="b")
    bed.hosts["b"].child.kill()
    until(lambda: not bed.guests("b"), "its guests are gone", 20)
    ends_well(driver, bed)
    matrix("nanny killed", "SIGKILL in mid-run", bed, "host fault, tried elsewhere")


@pytest.mark.slow
def test_qemu_is_killed_there(bed: ClusterBed, matrix: Matrix) -> None:
    driver = bed.start_run()
    bed.mid_run(driver, host="b")
    os.kill(next(iter(bed.guests("b"))), signal.SIGKILL)
    ends_well(driver, bed)
    matrix("QEMU killed on a host", "SIGKILL in mid-trial", bed, "lost, then ok")


@pytest.mark.slow
def test_the_scheduler_is_killed(bed: ClusterBed, matrix: Matrix) -> None:
    driver = bed.start_run()
    bed.mid_run(driver)
    assert bed.scheduler is not None
    bed.scheduler.child.kill()
    assert driver.status(150) == 3, driver.said()
    assert "the scheduler at" in driver.said()
    assert "continue with: driver run --resume" in driver.said()
    bed.assert_nothing_left()
    bed.start_scheduler()
    again = bed.start_driver("run", "--resume", "latest")
    ends_well(again, bed)
    matrix("scheduler killed", "SIGKILL, started again", bed, "status 3, resumed")


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["hub", "other"])
def test_the_driver_is_killed(machine: str, bed: ClusterBed, matrix: Matrix) -> None:
    """And the run is resumed from there, or from another machine that sees its directory."""
    driver = bed.start_run()
    bed.mid_run(driver)
    driver.child.kill()
    bed.assert_nothing_left_of_guests()
    if bed.network and machine != "hub" and not (bed.root / machine).exists():
        bed.network.join(machine)
    again = bed.start_driver("run", "--resume", "latest", machine=machine)
    ends_well(again, bed)
    where = "there" if machine == "hub" else "from another machine"
    matrix("driver killed", f"SIGKILL, resumed {where}", bed, "none, as if not begun")


@pytest.mark.slow
def test_ctrl_c(bed: ClusterBed, matrix: Matrix) -> None:
    driver = bed.start_run()
    bed.mid_run(driver)
    driver.child.send_signal(signal.SIGINT)
    assert driver.status(60) == 130, driver.said()
    bed.assert_nothing_left()
    ends_well(bed.start_driver("run", "--resume", "latest"), bed)
    matrix("driver interrupted", "SIGINT in mid-run", bed, "none, as if not begun")


def stopped(bed: ClusterBed, matrix: Matrix, seconds: float, fault: str) -> None:
    """Stop a host for a while; its outcomes arrive late."""
    driver = bed.start_run()
    bed.mid_run(driver, 3, host="b")
    pids = [bed.hosts["b"].pid, bed.worker("b")]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    ends_well(driver, bed, 400)
    late = [line for line in bed.journal() if line["event"] == "superseded"]
    assert any("silent" in reason for reason in host_faults(bed)), host_faults(bed)
    assert late, "the outcomes of the stopped host did not arrive late"
    assert len(list((bed.latest / "superseded").glob("*.json"))) == len(late)
    matrix(fault, f"SIGSTOP, SIGCONT {seconds:.0f} s later", bed, f"{len(late)} superseded")


@pytest.mark.slow
def test_a_host_stands_still_for_a_moment(tmp_path: Path, matrix: Matrix) -> None:
    with cluster_bed(tmp_path / "bed", silence=12.0) as bed:
        bed.set_pace(4.0)
        stopped(bed, matrix, 20.0, "host stopped, 12 s of silence")


@pytest.mark.slow
def test_a_host_stands_still_for_a_minute(bed: ClusterBed, matrix: Matrix) -> None:
    bed.set_pace(8.0)
    stopped(bed, matrix, 60.0, "host stopped for a minute")


@pytest.mark.slow
def test_a_link_is_cut_for_a_minute(bed: ClusterBed, matrix: Matrix) -> None:
    network = require_links(bed)
    bed.set_pace(8.0)
    driver = bed.start_run()
    bed.mid_run(driver, 3, host="b")
    network.cut("b")
    time.sleep(60)
    network.restore("b")
    ends_well(driver, bed, 400)
    joined = [line for line in bed.journal() if line["event"] == "admitted"]
    assert [line["host"] for line in joined].count("b") == 2, "b has not come back"
    matrix("link cut", "for a minute", bed, "host fault; it joins again")


@pytest.mark.slow
def test_a_link_is_cut_for_good(tmp_path: Path, matrix: Matrix) -> None:
    with cluster_bed(tmp_path / "bed", silence=12.0, wait=20.0) as bed:
        network = require_links(bed)
        driver = bed.start_run()
        bed.mid_run(driver, host="b")
        network.cut("b")
        assert driver.status(240) == 0, driver.said()
        until(lambda: not bed.guests("b"), "the cut host has ended its guests", 60)
        bed.assert_nothing_left()
        assert bed.hosts["b"].status(120) == 3, "it should give up"
        matrix("link cut", "for good, 12 s of silence", bed, "host fault, tried elsewhere")


@pytest.mark.slow
def test_the_disk_of_a_host_is_full(bed: ClusterBed, matrix: Matrix) -> None:
    bed.hosts["b"].end()
    small = bed.cache("b") / "scratch/cluster"
    small.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64m", "none", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk must be mounted, and this user may not")
    try:
        bed.start_host("b")
        driver = bed.start_run()
        bed.mid_run(driver, host="b")
        with (small / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(1 << 16))
            except OSError:
                pass
        ends_well(driver, bed)
        assert any("disk is full" in reason for reason in host_faults(bed)), host_faults(bed)
        assert "host b is set aside" in driver.said()
        matrix("disk of a host full", "small tmpfs, filled", bed, "host set aside by name")
    finally:
        bed.hosts["b"].end()
        subprocess.run(["umount", "--lazy", str(small)], check=True)


def run_with_stranger(bed: ClusterBed, start: Callable[[], Process]) -> Process:
    """A run that a fourth host tries to join: not as the first, which others are compared with."""
    bed.set_pace(4.0)
    driver = bed.start_run()
    bed.mid_run(driver, 3)
    start()
    until(lambda: "host d" in driver.said(), "the fourth host is judged")
    bed.set_pace(0.5)
    return driver


@pytest.mark.slow
def test_a_host_with_another_qemu(bed: ClusterBed, matrix: Matrix) -> None:
    driver = run_with_stranger(bed, lambda: bed.start_host("d", FAKE_QEMU="another build"))
    ends_well(driver, bed)
    refused = [line for line in bed.journal() if line["event"] == "refused"]
    assert [line["host"] for line in refused] == ["d"]
    assert "is another build" in refused[0]["reason"]
    matrix("two builds of QEMU", "a fourth host has another", bed, "refused by name")


@pytest.mark.slow
def test_hosts_with_another_accelerator(bed: ClusterBed, matrix: Matrix) -> None:
    driver = run_with_stranger(bed, lambda: bed.start_host("d", FAKE_ACCEL="kvm"))
    ends_well(driver, bed)
    refused = [line["reason"] for line in bed.journal() if line["event"] == "refused"]
    assert refused == ["its guests run under kvm, those of the first host under tcg"]
    matrix("mixed accelerators", "a fourth host has KVM", bed, "refused by name")


@pytest.mark.slow
def test_a_host_is_five_times_slower(bed: ClusterBed, matrix: Matrix) -> None:
    bed.hosts["c"].end()
    bed.start_host("c", FAKE_SECONDS="1.5")
    began = time.monotonic()
    driver = bed.start_run()
    ends_well(driver, bed)
    bed.hosts["c"].end()
    taken = Counter(line["host"] for line in bed.journal() if line["event"] == "taken")
    assert 0 < taken["c"] < min(taken["a"], taken["b"]), taken
    share = f"{taken['c']} of {sum(taken.values())} trials, {time.monotonic() - began:.0f} s"
    matrix("a host five times slower", "its guests sleep", bed, share)


@pytest.mark.slow
def test_a_clock_is_off_by_a_day(tmp_path: Path, bed: ClusterBed, matrix: Matrix) -> None:
    bed.hosts["c"].end()
    bed.start_host("c", PYTHONPATH=str(install(tmp_path / "clock", 86400)))
    driver = bed.start_run()
    ends_well(driver, bed)
    bed.hosts["c"].end()
    taken = Counter(line["host"] for line in bed.journal() if line["event"] == "taken")
    assert taken["c"] > 0, taken
    matrix("a clock off by a day", "time of one host", bed, "none")


@pytest.mark.slow
def test_a_host_with_a_wrong_certificate(tmp_path: Path, bed: ClusterBed, matrix: Matrix) -> None:
    make_keys(tmp_path / "others")
    stranger = bed.start_host("d", keys=tmp_path / "others", wait=20)
    driver = bed.start_run()
    ends_well(driver, bed)
    assert {line.get("host") for line in bed.journal()} <= {"a", "b", "c", None}
    assert stranger.status(120) == 3, stranger.said()
    assert "Is it running, and are the keys those of its cluster?" in stranger.said()
    matrix("a wrong certificate", "keys of another cluster", bed, "never joins, exits 3")


@pytest.mark.slow
def test_probes_that_differ(tmp_path: Path) -> None:
    """Under icount a host whose guests count otherwise is refused, whatever else is equal."""
    with cluster_bed(tmp_path / "bed", hosts=()) as bed:
        for name, words in (("a", "the same\n"), ("b", "the same\n"), ("c", "another\n")):
            bed.start_host(name, FAKE_ACCEL="icount", FAKE_PROBE=words)
            bed.await_joined(name)
        driver = bed.start_run("--accel", "icount", repeat=2)
        ends_well(driver, bed)
        refused = {line["host"] for line in bed.journal() if line["event"] == "refused"}
        assert len(refused) >= 1
        taken = {line["host"] for line in bed.journal() if line["event"] == "taken"}
        assert taken in ({"a", "b"}, {"c"}), "hosts that differ were mixed"
