#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What guests and trials cost on this host, measured. Not a test: it asserts nothing.

    .venv/bin/python tests/guest/figures.py [TURNS]

A template is made three times, in a store of its own; a fork of it does as good as nothing, TURNS
times (20 if not said); so does a guest that is booted again, with and without a prepared NVDIMM.
Then a driver runs trials of the footprint experiment, one and two at a time. Seconds are those of
the host and mean something if it had nothing else to do; processor seconds (QEMU's) also if it had.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from helpers.fault_table import table

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.boot import kernel_file, start
from driver.guest.config import GuestConfig
from driver.guest.job import Job
from driver.guest.machine import Accel, Machine
from driver.guest.qemu_args import Files
from driver.guest.template import Template, Templates
from driver.guest.template_recipe import qemu_version
from driver.image import build_image
from driver.kernel import build_kernel
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

ROOT = Path(__file__).resolve().parents[2]
PROVISION = Job(argv=["provision-dax", "data:1024"], timeout=180)
NOTHING = Job(argv=["true"])
_MOUNT = "mkdir -p /mnt/dax && mount -t xfs -o dax=always /dev/pmem0 /mnt/dax"
MOUNT = Job(argv=["sh", "-c", f"{_MOUNT} && grep -q dax=always /proc/mounts"])
PLAN = ["pagetable-footprint", "--accel", "tcg"]
PLAN += ["--only", "gib=1", "--only", "processes=1,2,4,8"]
TCG: Accel = "tcg"
ICOUNT: Accel = "icount"
# How often is done what takes long.
_FEW = 3


@dataclass(frozen=True)
class Figure:
    """Something that was done several times: seconds of the host, and of its processors."""

    what: str
    wall: list[float]
    cpu: list[float] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        wall = (statistics.median(self.wall), min(self.wall), max(self.wall))
        cpu = f"{statistics.median(self.cpu):.2f}" if self.cpu else "-"
        return (self.what, str(len(self.wall)), *(f"{found:.2f}" for found in wall), cpu)


HEADING = ("what", "turns", "median s", "least s", "most s", "median cpu s")


def measure(what: str, turns: int, attempt: Callable[[], AbstractContextManager[object]]) -> Figure:
    """Do something and clear up, several times; entering a context does it, leaving clears up.

    The host's seconds are those of doing it. The processors' are QEMU's from start to end.
    """
    figure = Figure(what, [])
    for _turn in range(turns):
        before, began = _children(), time.monotonic()
        with attempt():
            figure.wall.append(time.monotonic() - began)
        figure.cpu.append(_children() - before)
    return figure


@dataclass(frozen=True)
class Guests:
    """Guests of one accelerator, and where they leave what they leave."""

    accel: Accel
    kernel: KernelArtifact
    image: ImageArtifact
    scratch: Path

    @property
    def machine(self) -> Machine:
        return Machine(memory_mib=1024, vcpus=2, nvdimm_mib=1280, accel=self.accel)

    def templates(self) -> tuple[Template, list[Figure]]:
        """Make a template a few times; the last one, and what it took in all and in parts."""
        made: list[Template] = []

        @contextmanager
        def attempt() -> Iterator[None]:
            templates = Templates(Store(self.scratch / f"store-{len(made)}"))
            made.append(templates.get(self.machine, self.kernel, self.image, PROVISION))
            yield

        whole = measure(f"{self.accel}: make a template", _FEW, attempt)
        parts = [
            Figure(f"{self.accel}: ... of it to {name}", [a.facts[f"{name}_seconds"] for a in made])
            for name in ("boot", "provision", "save")
        ]
        return made[-1], [whole, *parts]

    def fork(self, template: Template, turns: int) -> Figure:
        """From nothing to the end of a fork's first command."""

        @contextmanager
        def attempt() -> Iterator[None]:
            with template.fork(self.scratch / "fork") as guest:
                guest.run(NOTHING, _soon())
                yield

        halted = ", and the guest halted" if self.machine.deterministic else ""
        return measure(f"{self.accel}: fork, until a command has ended{halted}", turns, attempt)

    def again(self, what: str, nvdimm: Path | None, job: Job, turns: int) -> Figure:
        """From nothing to the end of a job in a guest that is booted for it."""
        folder = self.scratch / "again"
        folder.mkdir(exist_ok=True)
        kernel, log = kernel_file(self.machine, self.kernel), folder / "console.log"
        files = Files(kernel, self.image.initramfs, log, nvdimm=nvdimm)

        @contextmanager
        def attempt() -> Iterator[None]:
            with start(GuestConfig(machine=self.machine, files=files), _soon()) as guest:
                result = guest.run(job, _soon())
                assert result.status == 0, result.output
                yield

        return measure(f"{self.accel}: boot, {what}", turns, attempt)


def trials(jobs: int, project: Path) -> tuple[str, ...]:
    """Run a plan; trials per minute, and processor milliseconds of the driver for each.

    Both between the ends of the first and of the last trial: beginning a run costs the same
    however many trials it has.
    """
    command = [sys.executable, "-m", "driver.cli.main", "run", "experiment", *PLAN]
    with subprocess.Popen(
        [*command, "--jobs", str(jobs)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "DRIVER_PROJECT": str(project), "PYTHONPATH": str(ROOT)},
    ) as driver:
        seen: list[tuple[int, float, float]] = []
        while driver.poll() is None:
            finished = len(list((project / "results" / "latest" / "trials").glob("[!.]*.json")))
            if finished and (not seen or finished > seen[-1][0]):
                seen.append((finished, time.monotonic(), _cpu_seconds(driver.pid)))
            time.sleep(0.01)
    manifest = json.loads((project / "results" / "latest" / "manifest.json").read_text())
    (project / "results" / "latest").unlink()
    assert driver.returncode == 0, f"status {driver.returncode}"
    assert seen[-1][0] == len(manifest["plan"])
    (first, began, before), (last, ended, after) = seen[0], seen[-1]
    rate = 60 * (last - first) / (ended - began)
    return (str(jobs), str(last), f"{rate:.0f}", f"{1000 * (after - before) / (last - first):.0f}")


def _cpu_seconds(pid: int) -> float:
    """User and system time of a process itself, without its children; see proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _soon() -> Deadline:
    return Deadline.after(300, "a figure")


def main(turns: int) -> None:
    load = os.getloadavg()[0]
    store, project, reporter = Store(), Project.find(ROOT), PlainReporter()
    kernel = build_kernel(store, project, series="none", reporter=reporter)
    image = build_image(store, project, "dax", reporter)
    with tempfile.TemporaryDirectory(prefix="figures-") as folder:
        figures: list[Figure] = []
        plain, counted = (
            Guests(accel, kernel, image, Path(folder, accel)) for accel in (TCG, ICOUNT)
        )
        for guests in (plain, counted):
            guests.scratch.mkdir()
            template, made = guests.templates()
            figures += [*made, guests.fork(template, turns)]
            if guests is plain:
                nvdimm = template.path / "nvdimm"
                figures.append(plain.again("until its NVDIMM is mounted", nvdimm, MOUNT, turns))
                figures.append(plain.again("until a new NVDIMM is ready", None, PROVISION, _FEW))
        print(table([HEADING, *(figure.row() for figure in figures)]), flush=True)
        scratch = Path(folder, "project")
        scratch.mkdir()
        for name in ("kernel-patches", "guest-images", "experiments"):
            (scratch / name).symlink_to(ROOT / name)
        heading = ("--jobs", "trials", "trials per minute", "cpu ms of the driver per trial")
        print(f"\n{table([heading, *(trials(jobs, scratch) for jobs in (1, 2))])}")
    print(f"\n{qemu_version()}, {os.cpu_count()} processors, load {load:.1f} at first")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
