# SPDX-License-Identifier: Apache-2.0
"""Faults in the middle of a run: what is finished is kept, and ``--resume`` does the rest, once.

Nothing here is simulated: the driver, QEMU, the kernel and the full disk are real. What a run
must come to is what an undisturbed run of the same plan came to. At the end a table says which
fault was injected how, and what it cost.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers.fault_injection import FaultInjection, Row, processes_of, until
from helpers.fault_table import FaultTable

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.store import Store

CALM = [f"plain_calm_{turn}_r1" for turn in (1, 2, 3)]


@pytest.fixture
def matrix(record_property: Callable[[str, object], None]) -> FaultTable:
    return FaultTable(record_property)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultInjection]:
    made = FaultInjection(tmp_path / "project")
    yield made
    made.assert_nothing_left()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """The rows of a run of the calm trials that nobody disturbs."""
    bench = FaultInjection(tmp_path_factory.mktemp("undisturbed") / "project")
    status, errors = bench.run(*bench.experiment("calm"))
    assert status == 0, errors
    assert bench.finished() == CALM
    return bench.numbers()


def flip_a_byte(path: Path) -> None:
    """In the middle of the first data there is."""
    with path.open("r+b") as file:
        at = os.lseek(file.fileno(), 0, os.SEEK_DATA) + 1000
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 0x10]))


def fill(path: Path) -> None:
    """Write to a file until the disk is full."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@contextmanager
def small_disk(path: Path, size: str) -> Iterator[None]:
    """A file system of its own at ``path``, which only root can have."""
    path.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(path)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small disk must be mounted, and this user may not")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def private_cache(path: Path, *copies: Path) -> Path:
    """A store without templates that shares everything else, but for ``copies``, with the user's.

    What is shared are the directories themselves, the locks among them.
    """
    path.mkdir(exist_ok=True)
    for entry in Store().root.iterdir():
        if entry.name not in ("template", "tmp", *(copy.parent.name for copy in copies)):
            (path / entry.name).symlink_to(entry)
    for copy in copies:
        shutil.copytree(copy, path / copy.parent.name / copy.name)
    return path


@pytest.mark.parametrize(("number", "status"), [("SIGKILL", -9), ("SIGTERM", 143), ("SIGINT", 130)])
def test_the_driver_is_stopped(
    number: str, status: int, bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable
) -> None:
    driver = bench.start(*bench.experiment("calm"))
    bench.guest(CALM[1])
    finished = {trial: bench.written(trial) for trial in bench.finished()}
    assert list(finished) == CALM[:1]
    driver.signal(signal.Signals[number])
    assert driver.status() == status, driver.said()
    if number != "SIGKILL":
        assert "continue with: driver run --resume" in driver.said()
        bench.assert_nothing_left()
    status, errors = bench.resume()
    assert status == 0, errors
    assert {trial: bench.written(trial) for trial in finished} == finished, "a trial ran twice"
    assert [bench.verdicts(trial) for trial in CALM] == [["ok"]] * 3
    matrix.add(
        "driver ended", f"{number} in mid-trial", bench, undisturbed, "none, as if not begun"
    )


def test_two_drivers_on_one_run(
    bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable
) -> None:
    first = bench.start(*bench.experiment("calm"))
    guest = bench.guest(CALM[0])
    os.kill(guest, signal.SIGSTOP)
    status, errors = bench.resume()
    os.kill(guest, signal.SIGCONT)
    assert status == 2, errors
    assert "another driver is working on the run" in errors
    assert first.status() == 0, first.said()
    matrix.add("two drivers, one run", "--resume meanwhile", bench, undisturbed, "second: status 2")


def test_qemu_is_killed(bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable) -> None:
    """Once, and the trial is tried again; twice, and it has failed, until it is resumed."""
    driver = bench.start(*bench.experiment("calm"))
    first = bench.guest(CALM[0])
    os.kill(first, signal.SIGKILL)
    os.kill(bench.guest(CALM[0], besides=first), signal.SIGKILL)
    os.kill(bench.guest(CALM[1]), signal.SIGKILL)
    assert driver.status() == 5, driver.said()
    assert [bench.verdicts(trial) for trial in CALM] == [["lost", "lost"], ["lost", "ok"], ["ok"]]
    assert "QEMU was killed by SIGKILL" in bench.record(CALM[0])["attempts"][0]["message"]
    status, errors = bench.resume()
    assert status == 0, errors
    assert bench.verdicts(CALM[0]) == ["lost", "lost", "ok"]
    matrix.add("QEMU killed", "SIGKILL in mid-trial", bench, undisturbed, "lost, then ok")


def test_a_guest_stands_still(
    bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable
) -> None:
    trial = "plain_brief_1_r1"
    driver = bench.start(*bench.experiment("brief", turns="1"))
    os.kill(bench.guest(trial), signal.SIGSTOP)
    assert driver.status() == 0, driver.said()
    assert bench.verdicts(trial) == ["timeout", "ok"]
    expected = renamed(undisturbed, CALM[0], trial)
    matrix.add("guest stands still", "SIGSTOP of QEMU", bench, expected, "timeout, then ok")


@dataclass(frozen=True)
class Failing:
    """A way to fail: the exit status of the run, the verdict of each try, a phrase of it."""

    way: str
    status: int
    verdicts: list[str]
    phrase: str


@pytest.mark.parametrize(
    "case",
    [
        Failing("panic", 4, ["splat"], "sysrq triggered crash"),
        Failing("spin", 6, ["timeout", "timeout"], "did not finish within"),
        Failing("signal", 7, ["workload"], "was killed by SIGSEGV"),
        Failing("status", 7, ["workload"], "exited with status 3"),
    ],
    ids=lambda case: case.way,
)
def test_a_guest_fails(
    case: Failing, bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable
) -> None:
    """Every time it is tried: a row with its verdict, which stops no other trial."""
    trial = f"plain_{case.way}_1_r1"
    status, errors = bench.run(*bench.experiment("calm", case.way, turns="1"))
    assert status == case.status, errors
    assert "1 of 2 trials failed" in errors
    assert bench.verdicts(trial) == case.verdicts
    assert case.phrase in bench.record(trial)["attempts"][0]["message"]
    calm = bench.written(CALM[0])
    assert bench.resume()[0] == case.status
    assert bench.verdicts(trial) == 2 * case.verdicts
    assert bench.written(CALM[0]) == calm, "a trial ran twice"
    expected = [*renamed(undisturbed, CALM[0], CALM[0]), (trial, case.verdicts[0])]
    matrix.add(f"workload: {case.way}", "by itself", bench, expected, case.verdicts[0])


def test_the_disk_of_the_results_is_full(
    bench: FaultInjection, undisturbed: list[Row], matrix: FaultTable
) -> None:
    with small_disk(bench.results, "16m"):
        driver = bench.start(*bench.experiment("calm"))
        bench.guest(CALM[1])
        ballast = bench.results / "ballast"
        fill(ballast)
        assert driver.status() == 3, driver.said()
        assert "the disk is full" in driver.said()
        assert bench.finished() == CALM[:1]
        ballast.unlink()
        status, errors = bench.resume()
        assert status == 0, errors
        matrix.add("disk of results full", "small tmpfs, filled", bench, undisturbed, "none")
        bench.assert_nothing_left()


def test_the_disk_of_the_cache_is_full(
    tmp_path: Path, undisturbed: list[Row], matrix: FaultTable
) -> None:
    """A template's memory is a sparse file: that there is no room shows when the guest runs."""
    with small_disk(tmp_path / "cache", "40m"):
        bench = FaultInjection(tmp_path / "project", private_cache(tmp_path / "cache"))
        status, errors = bench.run(*bench.experiment("calm"))
        assert status == 3, errors
        assert "Check whether the disk of the cache is full" in errors
        bench.assert_nothing_left()
        remount = ["mount", "-o", "remount,size=1g", str(bench.cache)]
        subprocess.run(remount, check=True)
        driver = bench.start(*bench.experiment("calm"))
        until(bench.processes, "the template boots")
        driver.signal(signal.SIGINT)
        assert driver.status() == 130, driver.said()
        bench.assert_nothing_left()
        status, errors = bench.run(*bench.experiment("calm"))
        assert status == 0, errors
        matrix.add("disk of cache full", "small tmpfs", bench, undisturbed, "none")
        bench.assert_nothing_left()


def test_the_cache_is_damaged(
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    tmp_path: Path,
    undisturbed: list[Row],
    matrix: FaultTable,
) -> None:
    copies = (kernel("none").vmlinux.parent, image.initramfs.parent)
    bench = FaultInjection(tmp_path / "project", private_cache(tmp_path / "project-cache", *copies))
    assert bench.cache is not None
    driver = bench.start(*bench.experiment("calm"))
    bench.guest(CALM[1])
    driver.signal(signal.SIGKILL)
    driver.status()
    for name in ("kernel/*/bzImage", "image/*/initramfs.cpio", "template/*/ram"):
        (path,) = bench.cache.glob(name)
        flip_a_byte(path)
    status, errors = bench.resume()
    assert status == 0, errors
    for name in ("bzImage", "initramfs.cpio", "ram"):
        assert f"damaged ({name} is not what was stored); making it again" in errors
    matrix.add("artifacts damaged", "one byte flipped in each", bench, undisturbed, "none")
    bench.assert_nothing_left()


def test_two_drivers_on_one_cache(
    tmp_path: Path, undisturbed: list[Row], matrix: FaultTable
) -> None:
    cache = private_cache(tmp_path / "cache")
    one, other = FaultInjection(tmp_path / "one", cache), FaultInjection(tmp_path / "other", cache)
    first = one.start(*one.experiment("calm"))
    booting = until(lambda: processes_of(cache), "the template boots")
    for pid in booting:
        os.kill(pid, signal.SIGSTOP)
    second = other.start(*other.experiment("calm"))
    until(lambda: "waiting for another driver making this template" in second.said(), "it waits")
    for pid in booting:
        os.kill(pid, signal.SIGCONT)
    for bench, driver in ((one, first), (other, second)):
        assert driver.status() == 0, driver.said()
        matrix.add("two drivers, one cache", "at the same time", bench, undisturbed, "second waits")
        bench.assert_nothing_left()
    assert len(list(cache.glob("template/*"))) == 1


def renamed(rows: list[Row], trial: str, name: str) -> list[Row]:
    """The rows of one trial, as those of another."""
    return [(name, *rest) for first, *rest in rows if first == trial]
