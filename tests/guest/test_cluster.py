# SPDX-License-Identifier: Apache-2.0
"""Real guests on two hosts: the bytes of one machine, also after a QEMU was killed."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.fault_injection import FaultInjection, processes_of, until

from driver import api
from driver.errors import GuestSplat

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

    def guests() -> dict[int, str]:
        found = processes_of(trials)
        return {
            pid: line for pid, line in found.items() if "cluster/trials" in line and "qemu" in line
        }

    def begun() -> list[int]:
        """Guests whose workload runs: one that ends before would be booted again."""
        logs = {pid: re.search(r"/[^\s,=]*/console\.log", line) for pid, line in guests().items()}
        return [pid for pid, log in logs.items() if log and "trial has begun" in text_of(log[0])]

    os.kill(until(begun, "a trial runs on a host")[0], signal.SIGKILL)
    until(lambda: lost(bench) and len(bench.finished()) >= 2, "two are finished, one was lost")
    driver.signal(signal.SIGKILL)
    driver.status()
    until(lambda: not guests(), "no guest is left on any host", 20)
    status, errors = bench.resume()
    assert status == 0, errors
    assert bench.finished() == sorted(CALM)
    assert all(bench.verdicts(trial)[-1] == "ok" for trial in CALM)
    assert lost(bench) == 1


def test_a_kernel_that_never_boots_leaves_a_run(bench: FaultInjection) -> None:
    """As on one machine: each trial has a verdict, and the run the console of the boot."""
    dead = [*words(bench, "tcg"), "--kernel-arg", "rdinit=/absent", *CLUSTER]
    status, errors = bench.run(*dead)
    assert status == GuestSplat.exit_status, errors
    assert {tuple(bench.verdicts(trial)) for trial in CALM} == {("splat",)}
    (boot,) = {attempt["boot"] for trial in CALM for attempt in bench.record(trial)["attempts"]}
    assert "Kernel panic - not syncing" in (bench.latest / "console" / boot).read_text()
    status, errors = bench.run("run", "--resume", "latest", *CLUSTER)
    assert status == GuestSplat.exit_status, errors
    assert {tuple(bench.verdicts(trial)) for trial in CALM} == {("splat", "splat")}


def text_of(path: str) -> str:
    """What a file holds; nothing once it has gone."""
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def lost(bench: FaultInjection) -> int:
    """The attempts whose guest went, in the records of the newest run."""
    records = {path.stem for path in (bench.latest / "trials").glob("*.json")}
    return sum(bench.verdicts(trial).count("lost") for trial in CALM if trial in records)


# With what a suite of one machine may have, too: files of the host, and a program that differs.
SUITE = """
description = "Two programs on two kernels that differ in a setting."
format = "tap"
directory = "/opt/tiny"
machine = { memory_mib = 512, nvdimm_mib = 64 }
provision = { argv = ["true"] }
[files]
"/opt/tiny" = "built"
[arms.before]
kernel = { series = "none" }
[arms.after]
kernel = { series = "none" }
writes = [{ path = "/proc/sys/vm/swappiness", text = "10" }]
[programs]
pass = { argv = ["./pass"] }
differs = { argv = ["./differs"] }
"""


def test_a_suite_runs_on_two_hosts(scratch_project: Path) -> None:
    folder = scratch_project / "tiny"
    (folder / "built").mkdir(parents=True)
    (folder / "suite.toml").write_text(SUITE)
    usual = "[ $(cat /proc/sys/vm/swappiness) = 60 ]"
    for name, script in (("pass", "true"), ("differs", usual)):
        (folder / "built" / name).write_text(f"#!/bin/sh\necho 1..1; {script} && echo ok 1 it\n")
        (folder / "built" / name).chmod(0o755)
    planned = api.plan_suite(str(folder), api.Options(bases=["6.12"]), "tcg")
    result = api.run_suite(planned, confirm=1, cluster=api.ClusterOptions("local:2"))
    assert result.unfinished == 0
    assert len(result.runs) == 2, "what differs runs again"
    assert {each.program for each in result.worse} == {"differs"}
    for run in result.runs:
        assert (run.path / "cluster.jsonl").exists()
