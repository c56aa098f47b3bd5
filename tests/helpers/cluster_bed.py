# SPDX-License-Identifier: Apache-2.0
"""A cluster on one machine: a driver, a scheduler and hosts in network namespaces of their own.

Each host has an address, a HOME and a cache of its own, and its link can be cut. Where namespaces
are not allowed the hosts are processes on the loopback, and what needs a link is skipped. Guests
are behaving ones (:mod:`helpers.fake_hosts`); everything else is the real thing.
"""

from __future__ import annotations

import csv
import fcntl
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from driver.cluster.keys import make_keys
from helpers.fault_injection import Row, processes_of, until

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENT = "pagetable-footprint"
PORT = 8786


def may_have_namespaces() -> bool:
    """Whether this user may make network namespaces and links between them."""
    name = f"driver-try-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if made.returncode == 0:
        subprocess.run(["ip", "netns", "delete", name], check=True)
    return made.returncode == 0


class Network:
    """A bridge, and a namespace for each machine on it; the first machine has the bridge itself."""

    _count = itertools.count()

    def __init__(self) -> None:
        self.prefix = f"driver-{os.getpid()}-{next(self._count)}"
        self.subnet = "10.213.0"  # nobody else is on this bridge
        self._names: list[str] = []
        self._add("hub")
        hub = self._name("hub")
        _ip("-n", hub, "link", "add", "br0", "type", "bridge")
        _ip("-n", hub, "addr", "add", f"{self.subnet}.1/24", "dev", "br0")
        _ip("-n", hub, "link", "set", "br0", "up")

    def join(self, machine: str) -> str:
        """Put a new machine on the bridge; returns its address."""
        self._add(machine)
        address, hub = f"{self.subnet}.{len(self._names)}", self._name("hub")
        link = f"v{machine}"
        peer = ("peer", "name", "eth0", "netns", self._name(machine))
        _ip("-n", hub, "link", "add", link, "type", "veth", *peer)
        _ip("-n", hub, "link", "set", link, "master", "br0", "up")
        _ip("-n", self._name(machine), "addr", "add", f"{address}/24", "dev", "eth0")
        _ip("-n", self._name(machine), "link", "set", "eth0", "up")
        return address

    def cut(self, machine: str) -> None:
        """Nothing reaches the machine or leaves it any more."""
        _ip("-n", self._name("hub"), "link", "set", f"v{machine}", "nomaster")

    def restore(self, machine: str) -> None:
        """Undo :meth:`cut`."""
        _ip("-n", self._name("hub"), "link", "set", f"v{machine}", "master", "br0")

    def traffic(self, machine: str) -> tuple[int, int]:
        """Bytes and packets over a machine's link so far, both ways."""
        words = ["ip", "-n", self._name(machine), "-s", "-j", "link", "show", "eth0"]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        counts = json.loads(done.stdout)[0]["stats64"]
        ways = (counts["rx"], counts["tx"])
        return sum(way["bytes"] for way in ways), sum(way["packets"] for way in ways)

    def enter(self, machine: str) -> list[str]:
        """Words before a command that is to run on a machine."""
        return ["ip", "netns", "exec", self._name(machine)]

    def close(self) -> None:
        for name in self._names:
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)

    def _add(self, machine: str) -> None:
        _ip("netns", "add", self._name(machine))
        self._names.append(self._name(machine))
        _ip("-n", self._name(machine), "link", "set", "lo", "up")

    def _name(self, machine: str) -> str:
        return f"{self.prefix}-{machine}"


@dataclass
class Process:
    """A process of the bed; ``log`` is where its standard error goes."""

    child: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def status(self, seconds: float = 180) -> int:
        """Wait for its end; the exit status."""
        try:
            return self.child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended: {self.said()}") from None

    def end(self) -> None:
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.child.wait(20)
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()

    @property
    def pid(self) -> int:
        return self.child.pid


@dataclass
class ClusterBed:
    """Everything of one test, below ``root``.

    ``silence`` is that of the cluster, ``wait`` how long hosts look for a scheduler, in seconds.
    """

    root: Path
    silence: float = 30.0
    wait: float = 150.0
    network: Network | None = None
    hosts: dict[str, Process] = field(default_factory=dict)
    scheduler: Process | None = None
    _others: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        for name in ("kernel-patches", "guest-images", "experiments"):
            (self.root / name).symlink_to(ROOT / name)
        self.set_pace(1.0)
        self.keys = self.root / "keys"
        make_keys(self.keys)
        if may_have_namespaces():
            self.network = Network()

    def set_pace(self, seconds: float) -> None:
        """From now on trials take so long, but on hosts with a pace of their own."""
        (self.root / "pace").write_text(str(seconds))

    def repair(self, hosts: Sequence[str] = ("a", "b", "c")) -> None:
        """A scheduler and these hosts, and no others, whatever an earlier test did."""
        self.set_pace(1.0)
        for name in [name for name in self.hosts if name not in hosts]:
            self.hosts.pop(name).end()
        if self.scheduler is None or self.scheduler.child.poll() is not None:
            self.start_scheduler()
        for name in hosts:
            if name not in self.hosts or self.hosts[name].child.poll() is not None:
                self.start_host(name)
        for name in hosts:
            self.await_joined(name)

    def await_joined(self, name: str) -> None:
        """Wait until a host has joined the cluster."""
        host = self.hosts[name]
        until(lambda: "has joined" in host.said(), f"{name} has joined")

    @property
    def address(self) -> str:
        host = f"{self.network.subnet}.1" if self.network else "127.0.0.1"
        return f"tls://{host}:{self.port}"

    @property
    def port(self) -> int:
        return PORT if self.network else 20000 + os.getpid() % 20000

    @property
    def results(self) -> Path:
        return self.root / "results"

    @property
    def latest(self) -> Path:
        return (self.results / "latest").resolve()

    def start_scheduler(self) -> Process:
        host = self.address.removeprefix("tls://").partition(":")[0]
        words = ["cluster", "scheduler", "--host", host, "--port", str(self.port)]
        keys = ["--keys", str(self.keys)]
        self.scheduler = self.start("hub", "driver.cli.main", [*words, *keys])
        scheduler = self.scheduler
        until(lambda: "listens at" in scheduler.said(), "the scheduler listens")
        return scheduler

    def start_host(
        self,
        name: str,
        *,
        keys: Path | None = None,
        guests: int = 1,
        wait: float | None = None,
        **environment: str,
    ) -> Process:
        """A host; what it is named by is also its machine. A machine that exists is used again."""
        if self.network and not (self.root / name).exists():
            self.network.join(name)
        words = ["worker", self.address, "--name", name, "--guests", str(guests)]
        words += ["--keys", str(keys or self.keys), "--wait", f"{wait or self.wait}"]
        self.hosts[name] = self.start(name, "driver.cli.main", words, **environment)
        return self.hosts[name]

    def start_run(self, *arguments: str, machine: str = "hub", repeat: int = 3) -> Process:
        """A driver that runs the plan on the cluster."""
        plan = ["--only", "processes=1,4", "--only", "gib=1", "--repeat", str(repeat)]
        words = ["run", "experiment", EXPERIMENT, "--accel", "tcg", *plan, *arguments]
        return self.start_driver(*words, machine=machine)

    def start_driver(self, *words: str, machine: str = "hub") -> Process:
        """The ``driver`` command with the cluster's options, on a machine."""
        cluster = ["--cluster", self.address, "--keys", str(self.keys)]
        process = self.start(machine, "helpers.fake_driver", [*words, *cluster])
        self._others.append(process)
        return process

    def cache(self, machine: str) -> Path:
        return self.root / machine / "cache"

    def worker(self, name: str) -> int:
        """The worker process of a host, below its nanny."""

        def look() -> int | None:
            for path in Path("/proc").glob("[0-9]*/stat"):
                with suppress(OSError):
                    parent = int(path.read_text().rpartition(")")[2].split()[1])
                    words = (path.parent / "cmdline").read_text()
                    if parent == self.hosts[name].pid and "spawn_main" in words:
                        return int(path.parent.name)
            return None

        return until(look, f"{name} has a worker process")

    def guests(self, machine: str | None = None) -> dict[int, str]:
        """The processes that stand for QEMU, on one machine or on all."""
        folder = self.cache(machine) if machine else self.root
        found = processes_of(folder)
        return {pid: words for pid, words in found.items() if words.startswith("tail")}

    def finished(self) -> int:
        """Trials of the newest run that are on disk."""
        return len(list(self.results.glob("latest/trials/[!.]*.json")))

    def mid_run(self, driver: Process, trials: int = 6, host: str | None = None) -> None:
        """Wait until so many trials are finished, and one is running (on ``host``)."""

        def look() -> bool:
            assert driver.child.poll() is None, f"the run has been missed: {driver.said()}"
            return self.finished() >= trials and bool(self.guests(host))

        until(look, f"{trials} trials are finished", 240)

    def rows(self) -> list[Row]:
        return rows_of(self.latest)

    def journal(self) -> list[dict[str, Any]]:
        text = (self.latest / "cluster.jsonl").read_text()
        return [json.loads(line) for line in text.splitlines()]

    def assert_nothing_left_of_guests(self) -> None:
        """No guest on any machine: the worker notices that nobody wants its batch."""
        until(lambda: not self.guests(), "no guest is left", 30)

    def assert_nothing_left(self) -> None:
        """No guest and no lock on any machine, while its workers are still there."""
        self.assert_nothing_left_of_guests()
        # A directory that a killed worker has left goes when its host joins again.
        for pattern in ("*/cache/locks/*.lock", "*/cache/scratch/cluster/trials/*"):
            for path in self.root.glob(pattern):
                until(partial(is_free, path), f"nobody holds {path}", 30)
        assert list(self.results.glob("*/scratch")) == []

    def close(self) -> None:
        for process in (*self._others, *self.hosts.values()):
            with suppress(ProcessLookupError):
                process.child.send_signal(signal.SIGCONT)
            process.end()
        if self.scheduler:
            self.scheduler.end()
        if self.network:
            self.network.close()

    def start(self, machine: str, module: str, words: Sequence[str], **more: str) -> Process:
        """A Python module on a machine, which has its own HOME and cache, with more variables."""
        home = self.root / machine / "home"
        home.mkdir(parents=True, exist_ok=True)
        path = [str(ROOT), str(ROOT / "tests")]
        environment = {
            "HOME": str(home),
            "TMPDIR": str(home),
            "DRIVER_CACHE": str(self.cache(machine)),
            "DRIVER_CONFIG": "",
            "DRIVER_PROJECT": str(self.root),
            "DRIVER_CLUSTER_SILENCE": f"{self.silence}",
            "DASK_DISTRIBUTED__WORKER__PRELOAD": '["helpers.fake_hosts"]',
            "FAKE_PACE": str(self.root / "pace"),
            **more,
            "PYTHONPATH": os.pathsep.join([*more.get("PYTHONPATH", "").split(), *path]),
        }
        log = self.root / machine / f"stderr-{time.monotonic_ns()}"
        enter = self.network.enter(machine) if self.network else []
        command = [*enter, "env", "--default-signal=INT", sys.executable, "-m", module, *words]
        with log.open("wb") as sink:
            child = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=sink,
                stdin=subprocess.DEVNULL,
                env={**os.environ, **environment},
                cwd=self.root,
            )
        return Process(child, log)


@contextmanager
def cluster_bed(
    root: Path, hosts: Sequence[str] = ("a", "b", "c"), **more: Any
) -> Iterator[ClusterBed]:
    """A bed with a scheduler and these hosts, all gone at last."""
    bed = ClusterBed(root, **more)
    try:
        bed.repair(hosts)
        yield bed
    finally:
        bed.close()


def is_free(path: Path) -> bool:
    """Whether no process holds the lock on a file or directory."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def rows_of(run: Path) -> list[Row]:
    """Every row of trials.csv and samples.csv, but for the name of the run."""
    found: list[Row] = []
    for name in ("trials.csv", "samples.csv"):
        with (run / name).open(newline="") as file:
            found += [(name, *row[1:]) for row in csv.reader(file)]
    return found


def require_links(bed: ClusterBed) -> Network:
    """The network of a bed; skips the test where there is none."""
    if bed.network is None:
        pytest.skip("links can only be cut between namespaces, which this user may not make")
    return bed.network


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
