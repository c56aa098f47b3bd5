# SPDX-License-Identifier: Apache-2.0
"""Guests with further programs, and one command run in a fork of one of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from programs import SWITCH, TOLERATED, image_with_programs, provision

from driver.artifacts import KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestError, GuestSplat, GuestTimeout
from driver.guest.job import Job, Write
from driver.guest.machine import Machine
from driver.guest.template import Template, Templates
from driver.image import build_image, cpio
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store, file_digest

MACHINE = Machine(memory_mib=2048, vcpus=4, nvdimm_mib=6144)
ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Workshop:
    """Where things are built and kept."""

    store: Store
    project: Project
    reporter: PlainReporter

    @classmethod
    def open(cls) -> Workshop:
        reporter = PlainReporter()
        return cls(Store(notify=reporter.note), Project.find(ROOT), reporter)

    def template(
        self,
        kernel: KernelArtifact,
        entries: Mapping[str, cpio.Entry],
        folder: Path,
        *,
        programs: bool = False,
    ) -> Template:
        """A guest with these files added, its NVDIMM prepared; ``programs``: with our own, too."""
        image = build_image(self.store, self.project, "dax", self.reporter)
        if programs:
            image = image_with_programs(self.store, image, folder)
        extra, initramfs = folder / "extra.cpio", folder / "initramfs"
        cpio.write(extra, entries)
        cpio.concatenate([image.initramfs, extra], initramfs)
        with_extra = dataclasses.replace(
            image, initramfs=initramfs, digest=f"{image.digest}+{file_digest(extra)}"
        )
        return Templates(self.store, notify=self.reporter.note).get(
            MACHINE, kernel, with_extra, provision(MACHINE), boot_seconds=600
        )


@dataclass(frozen=True)
class Ending:
    """How a command ended: its status, or what became of the guest."""

    status: int
    output: str
    trouble: str = ""


def run(template: Template, script: str, folder: Path, *, on: bool, seconds: float) -> Ending:
    """Run a shell script in a fork; ``on``: the kernel has the switch, and it is turned on."""
    setup = (Write(SWITCH, "1"),) if on else ()
    job = Job(argv=["sh", "-c", script], setup=setup, timeout=seconds)
    try:
        # Both run programs out of memory and have pages fail, and are right to.
        with template.fork(folder, tolerate=TOLERATED) as guest:
            result = guest.run(job, Deadline.after(seconds, "a program"))
    except GuestSplat as error:
        return Ending(-1, error.excerpt or error.message, f"the kernel: {error.kind}")
    except GuestTimeout as error:
        return Ending(-1, error.message, "timeout")
    except GuestError as error:
        return Ending(-1, error.message, error.verdict)
    return Ending(result.status, result.output)
