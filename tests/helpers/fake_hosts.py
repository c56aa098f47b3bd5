# SPDX-License-Identifier: Apache-2.0
"""Hosts of a cluster with behaving guests: loaded by Dask into a worker process (``preload``).

Everything is real but for the guests: the worker, its nanny, the artifacts it fetches, and a child
process in the place of QEMU, which may be killed. ``FAKE_SECONDS`` is how long a trial takes, or
else what the file ``FAKE_PACE`` says; ``FAKE_ACCEL`` is what executes it, ``FAKE_QEMU`` which build
of QEMU the host claims, ``FAKE_PROBE`` what a trial prints that must repeat.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from driver import __version__
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.cluster import host, software
from driver.cluster.messages import SessionOrder, Software
from driver.cluster.portable import unpack
from driver.deadline import Deadline
from driver.errors import EmulatorLost, HostError
from driver.guest.accel import Choice
from driver.guest.job import Job, JobResult
from driver.guest.machine import Accel
from driver.guest.qemu_process import QemuProcess
from driver.results import provenance
from driver.store import Store
from driver.validity import Accelerator, Validity
from helpers import fake_guest
from helpers.synthetic_runs import guest_record


class Guest(fake_guest.Guest):
    """A behaving guest with a process that stands for its QEMU."""

    def __init__(self, patched: bool, directory: Path) -> None:
        super().__init__(patched, lambda _job: None)
        self._log = directory / "console.log"
        self._log.write_text("guest ready\n")
        self._gone = threading.Event()

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        if job.argv[0] == "sh":  # the probe of a host whose guests repeat
            return JobResult(0, output=os.environ.get("FAKE_PROBE", "the same\n"))
        seconds = _seconds()
        if os.environ.get("FAKE_PROCESS", "yes") == "no":
            time.sleep(seconds)
        else:
            self._run_process(seconds)
        return super().run(job, deadline)

    def _run_process(self, seconds: float) -> None:
        qemu = QemuProcess(["tail", "-f", str(self._log)], [])
        try:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                if self.killed.wait(0.02) or not qemu.running:
                    raise EmulatorLost("QEMU was killed by SIGKILL")
        finally:
            qemu.kill()
            qemu.stop(lambda: None)

    def evidence(self) -> Mapping[str, str]:
        return {}


class Factory(fake_guest.Factory):
    """Forks such guests."""

    @contextmanager
    def fork(self, directory: Path, **_more: object) -> Iterator[Any]:
        yield Guest(self.patched, directory)


def prepare_guests(order: SessionOrder, store: Store) -> host.Guests:
    """As the real one, but nothing is booted: the files must have arrived, though."""
    accel = cast(Accel, os.environ.get("FAKE_ACCEL", "tcg"))
    shift = 3 if accel == "icount" else None
    validity = Validity(Accelerator(accel), shift)
    factories, records = [], []
    for wanted in order.guests:
        kernel = unpack(KernelArtifact, wanted.kernel, store.root)
        image = unpack(ImageArtifact, wanted.image, store.root)
        for path in (kernel.vmlinux, kernel.bzimage, image.initramfs):
            if not path.is_file():
                raise HostError(f"{path} has not arrived")
        request = wanted.guest_request()
        factories.append(Factory(patched=request.kernel.series != "none"))
        records.append(guest_record(request, validity, kernel_digest=kernel.digest))
    return host.Guests(Choice(accel, "fake"), factories, records)


def own_software() -> Software:
    """Of a host with QEMU, which this one may not have."""
    return Software(
        driver=__version__,
        driver_files=software.driver_files(),
        qemu="QEMU emulator version 7.2",
        qemu_files=os.environ.get("FAKE_QEMU", "a build"),
        host=provenance.host(),
    )


def _seconds() -> float:
    """How long a trial takes: of this host, or else of all of them at this moment."""
    own, shared = os.environ.get("FAKE_SECONDS"), os.environ.get("FAKE_PACE")
    return float(own or (Path(shared).read_text() if shared else "0.2"))


def dask_setup(_worker: object) -> None:
    """Called by Dask in the worker process."""
    host.prepare_guests = prepare_guests
    setattr(host, "own_software", own_software)  # noqa: B010
