# SPDX-License-Identifier: Apache-2.0
"""Guests that also hold the C programs of this folder: ``semantics`` and ``stress``."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from driver.artifacts import ImageArtifact
from driver.deadline import Deadline
from driver.guest.job import Job, JobResult, Write
from driver.guest.session import Guest
from driver.image import build_programs, cpio
from driver.report import PlainReporter
from driver.store import Store

HERE = Path(__file__).resolve().parent
SWITCH = "/proc/sys/vm/dax_share_page_tables"


def image_with_programs(store: Store, image: ImageArtifact, directory: Path) -> ImageArtifact:
    """The image with the test programs appended: the kernel unpacks one archive after another."""
    programs = build_programs(store, HERE, PlainReporter())
    initramfs = directory / "tests.cpio"
    cpio.concatenate([image.initramfs, programs], initramfs)
    return dataclasses.replace(
        image, initramfs=initramfs, digest=f"{image.digest}+{programs.parent.name}"
    )


def run_program(guest: Guest, argv: list[str], *, switch: str | None, seconds: float) -> JobResult:
    """Prepare the NVDIMM, set the switch (None: the kernel has none), run a test program."""
    prepared = guest.run(
        Job(argv=["provision-dax"], timeout=120), Deadline.after(120, "preparing the NVDIMM")
    )
    assert prepared.status == 0, prepared.output
    setup = () if switch is None else (Write(SWITCH, switch),)
    job = Job(argv=argv, setup=setup, timeout=seconds)
    return guest.run(job, Deadline.after(seconds, f"`{' '.join(argv)}`"))
