# SPDX-License-Identifier: Apache-2.0
"""What a trial on a cluster costs the driver, and how many hosts one driver can keep busy.

``python tests/cluster/scale.py`` measures, in a scratch directory, with fake guests that sleep:

- processor time of driver and scheduler per trial, as the slope over the middle of a run;
- tasks, bytes and packets per trial, and for a host with an empty cache, on a network namespace's
  link (as root);
- efficiency with 1 to 64 workers, each with a connection of its own, in four processes;
- memory with 100,000 planned trials, and what each finished trial adds.

From these it computes, with the batches that the executor would make, the efficiency that one core
for driver and scheduler allows, and how long 100,000 trials would take. On a busy or a small
machine the measured efficiency says what that machine can do; the line "processors" shows how much
of it was free.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from helpers.cluster_bed import ClusterBed, Process, cluster_bed, require_links  # noqa: E402

_TICK = os.sysconf("SC_CLK_TCK")
# Trials of one round of the experiment, and of the part of it that the small runs take.
ROUND = 114
SECONDS = 0.5


def processor_seconds(pid: int) -> float:
    """Of a process and its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / _TICK


@dataclass
class Measured:
    """A run: its trials, seconds that its trials took, processor seconds."""

    trials: int
    seconds: float
    driver: float
    scheduler: float
    batches: int
    idle: float


class ScaleBed(ClusterBed):
    """A bed without namespaces whose hosts are in few processes."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.network:
            self.network.close()
            self.network = None

    @contextmanager
    def workers(self, count: int, processes: int = 4) -> Iterator[None]:
        children: list[Process] = []
        share = -(-count // processes)
        try:
            for first in range(0, count, share):
                words = [self.address, str(first), str(min(share, count - first))]
                more = {"FAKE_PROCESS": "no", **self._tls()}
                children.append(self.start("many", "helpers.many_workers", words, **more))
            yield
        finally:
            for child in children:
                child.end()

    def _tls(self) -> dict[str, str]:
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{tls}CA_FILE": str(self.keys / "ca.pem"),
            f"{tls}WORKER__CERT": str(self.keys / "worker.pem"),
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        }

    def measure(self, repeat: int, *more: str) -> Measured:
        """One run of so many rounds."""
        idle, began = _idle(), time.monotonic()
        scheduler = self.scheduler
        assert scheduler is not None
        driver = self.start_driver(
            *("run", "experiment", "pagetable-footprint", "--accel", "tcg"),
            *("--repeat", str(repeat), *more),
        )
        samples: list[tuple[int, float, float]] = []
        while driver.child.poll() is None:
            with contextlib.suppress(OSError):
                taken = self.finished()
                both = (processor_seconds(driver.pid), processor_seconds(scheduler.pid))
                if not samples or taken > samples[-1][0]:
                    samples.append((taken, *both))
            time.sleep(0.2)
        assert driver.status() == 0, driver.said()
        free = (_idle() - idle) / (time.monotonic() - began)
        journal = self.journal()
        outcomes = [line for line in journal if line["event"] == "taken"]
        leased = [line for line in journal if line["event"] == "leased"]
        span = (self.latest / "cluster.jsonl").stat().st_mtime - _started(self.latest)
        return Measured(
            trials=len(outcomes),
            seconds=span,
            driver=slope([(one[0], one[1]) for one in samples]),
            scheduler=slope([(one[0], one[2]) for one in samples]),
            batches=len(leased),
            idle=free,
        )


def _started(run: Path) -> float:
    """When the first trial was leased: the directory of scratch files or records appeared."""
    return min(path.stat().st_mtime for path in (run / "trials").glob("*.json")) - SECONDS


def _idle() -> float:
    """Processor seconds that nobody has used."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()
    return int(words[4]) / _TICK


def slope(samples: list[tuple[int, float]]) -> float:
    """Processor seconds per trial, between the first outcomes and the last."""
    last = samples[-1][0]
    middle = [one for one in samples if 0.05 * last <= one[0] <= 0.98 * last]
    if len(middle) < 3:
        raise SystemExit("the run was over before it could be watched: take more rounds")
    return statistics.linear_regression(*zip(*middle, strict=True)).slope


def simulate(workers: int, trials: int, seconds: float, cost: float) -> float:
    """Efficiency of so many workers if driver and scheduler need ``cost`` seconds per trial.

    One core handles batches one after the other; batches are made as the executor makes them.
    """
    import heapq

    waiting, clock, free_at = trials, 0.0, 0.0
    ready = [(0.0, number) for number in range(workers)]
    heapq.heapify(ready)
    known = [False] * workers
    end = 0.0
    while waiting:
        clock, number = heapq.heappop(ready)
        size = round(10.0 / seconds) if known[number] else 1
        capacity = min(waiting, 8 + 3 * workers * round(10.0 / seconds))
        size = max(1, min(size, -(-capacity // (2 * workers))))
        waiting -= size
        known[number] = True
        start = max(clock, free_at)
        free_at = start + size * cost
        done = free_at + size * seconds
        end = max(end, done)
        heapq.heappush(ready, (done, number))
    return trials * seconds / (workers * end)


def memory_of_plan(trials: int) -> dict[str, float]:
    """MiB that a process has before and after planning so many trials and writing the manifest."""
    program = f"""
import json, resource, time
from pathlib import Path
import tempfile
from unittest.mock import patch
from helpers.synthetic_runs import FakeGuestRun
from driver.results.manifest import write_manifest, read_manifest
def mib(): return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
before, began = mib(), time.process_time()
with tempfile.TemporaryDirectory() as folder:
    bench = FakeGuestRun(Path(folder), repeat={-(-trials // ROUND)})
    planned = mib()
    run = bench.begin()
    write_manifest(run, bench.manifest)
    size = run.manifest.stat().st_size / 2**20
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(dict(trials=len(bench.plan), before=before, planned=planned, with_manifest=mib(),
                      peak=peak, manifest=size, seconds=time.process_time() - began)))
"""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    """Measure everything and print it as lines of JSON."""
    parts = sys.argv[1:] or ["memory", "bytes", "cost", "workers"]
    with tempfile.TemporaryDirectory(prefix="scale-") as folder:
        if "memory" in parts:
            show("memory", memory_of_plan(100_000))
        if "bytes" in parts:
            measure_bytes(Path(folder) / "linked")
        if {"cost", "workers"} & set(parts):
            bed = ScaleBed(Path(folder) / "bed")
            try:
                bed.start_scheduler()
                measure(bed, parts)
            finally:
                bed.close()


def measure_bytes(root: Path) -> None:
    """What goes over the links of three hosts: with empty caches, and with full ones."""
    with cluster_bed(root) as bed:
        network = require_links(bed)
        bed.set_pace(0.1)
        before = {name: network.traffic(name) for name in bed.hosts}
        for caches, repeat in (("empty", 1), ("full", 10)):
            driver = bed.start_run(repeat=repeat)
            assert driver.status(600) == 0, driver.said()
            after = {name: network.traffic(name) for name in bed.hosts}
            journal = bed.journal()
            trials = sum(line["event"] == "taken" for line in journal)
            moved = [after[name][0] - before[name][0] for name in bed.hosts]
            packets = sum(after[name][1] - before[name][1] for name in bed.hosts)
            show("bytes", {
                "caches": caches, "trials": trials, "hosts MB": [one / 1e6 for one in moved],
                "bytes per trial": sum(moved) / trials, "packets per trial": packets / trials,
                "tasks per trial": sum(one["event"] == "leased" for one in journal) / trials,
            })  # fmt: skip
            before = after


def measure(bed: ScaleBed, parts: list[str]) -> None:
    if "cost" in parts:
        bed.set_pace(0.05)
        with bed.workers(8, processes=2):
            found = bed.measure(4)
        driver, scheduler = found.driver, found.scheduler
        show("cost", {
            "driver_ms": 1000 * driver, "scheduler_ms": 1000 * scheduler,
            "trials": found.trials, "batches": found.batches, "processors": found.idle,
        })  # fmt: skip
        for workers in (1, 4, 16, 64, 256):
            efficiency = simulate(workers, 100_000, SECONDS, driver + scheduler)
            show("simulated", {
                "workers": workers, "efficiency": efficiency,
                "minutes for 100,000": 100_000 * SECONDS / efficiency / workers / 60,
            })  # fmt: skip
    if "workers" in parts:
        bed.set_pace(SECONDS)
        for workers in (1, 4, 16, 64):
            with bed.workers(workers, processes=min(4, workers)):
                found = bed.measure(1 + workers)  # about a minute, were there processors
            ideal = found.trials * SECONDS / workers
            show("measured", {
                "workers": workers, "trials": found.trials, "seconds": found.seconds,
                "efficiency": ideal / found.seconds, "processors": found.idle,
                "driver_ms": 1000 * found.driver,
            })  # fmt: skip


def show(what: str, found: dict[str, Any]) -> None:
    rounded = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in found.items()
    }
    print(json.dumps({"what": what, **rounded}), flush=True)


if __name__ == "__main__":
    main()
