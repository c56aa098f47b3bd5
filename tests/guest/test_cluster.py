# SPDX-License-Identifier: Apache-2.0
"""Real guests on two hosts: the bytes of one machine, also after a QEMU was killed."""

from __future__ import annotations

import csv
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.fault_injection import FaultInjection, processes_of, until

pytest.importorskip("distributed")

CALM = [f"plain_calm_{turn}_r{round_}" for round_ in (1, 2) for turn in (1, 2, 3)]
CLUSTER = ("--cluster", "local:2")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[FaultInjection]:
    made = FaultInjection(tmp_path / "project")
    yield made
    made.assert_nothing_left()


def tables(run: Path) -> list[list[str]]:
    """Both tables without the name of the run."""
    found = []
    for name in ("trials.csv", "samples.csv"):
        with (run / name).open(newline="") as file:
            found += [row[1:] for row in csv.reader(file)]
    return found


def words(bench: FaultInjection, accel: str) -> list[str]:
    plan = bench.experiment("calm")
    plan[plan.index("tcg")] = accel
    return [*plan, "--repeat", "2"]


def hosts_of(bench: FaultInjection, event: str) -> set[str]:
    lines = map(json.loads, (bench.latest / "cluster.jsonl").read_text().splitlines())
    return {line["host"] for line in lines if line["event"] == event}


def test_two_hosts_give_the_bytes_of_one(bench: FaultInjection) -> None:
    """Samples, tables and the digests of all that a trial leaves, under icount."""
    status, errors = bench.run(*words(bench, "icount"))
    assert status == 0, errors
    alone = bench.latest
    digests = {trial: bench.record(trial)["digests"] for trial in CALM}
    assert all(digests.values())
    status, errors = bench.run(*words(bench, "icount"), *CLUSTER)
    assert status == 0, errors
    assert bench.latest != alone
    assert hosts_of(bench, "taken") == {"local-1", "local-2"}
    assert {trial: bench.record(trial)["digests"] for trial in CALM} == digests
    assert tables(bench.latest) == tables(alone)
    for trial in CALM:
        for folder, suffix in (("console", "log"), ("raw", "jsonl.gz")):
            name = f"{folder}/{trial}.{suffix}"
            assert (bench.latest / name).read_bytes() == (alone / name).read_bytes(), name


def test_a_qemu_of_a_host_is_killed(bench: FaultInjection) -> None:
    """And then the driver, whose hosts end what they run; a run of one machine resumes it."""
    driver = bench.start(*words(bench, "tcg"), *CLUSTER)
    local = Path(os.environ.get("DRIVER_CACHE", "")).resolve()
    cache = local if os.environ.get("DRIVER_CACHE") else Path.home() / ".cache/dax-pagetable-driver"
    trials = cache / "scratch/local-hosts"

    def running() -> list[int]:
        found = processes_of(trials)
        return [pid for pid, line in found.items() if "cluster/trials" in line and "qemu" in line]

    guests = until(running, "a trial runs on a host")
    os.kill(guests[0], signal.SIGKILL)
    until(lambda: len(bench.finished()) >= 2, "two trials are finished")
    driver.signal(signal.SIGKILL)
    driver.status()
    until(lambda: not running(), "no guest is left on any host", 20)
    status, errors = bench.resume()
    assert status == 0, errors
    assert bench.finished() == sorted(CALM)
    verdicts = [bench.verdicts(trial) for trial in CALM]
    assert all(found[-1] == "ok" for found in verdicts)
    assert sum(found.count("lost") for found in verdicts) == 1
