# SPDX-License-Identifier: Apache-2.0
"""Guests that also hold the C programs of the folders next to this file."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Protocol

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.job import Job, JobResult, Write
from driver.guest.machine import Machine
from driver.guest.session import Guest
from driver.image import build_programs, cpio
from driver.progress import PlainReporter
from driver.store import Store

HERE = Path(__file__).resolve().parent
SWITCH = "/proc/sys/vm/dax_share_page_tables"
# 1: shared tables are looked up by a walk over the mappings of the file, 0: by an index.
LOOKUP = "/proc/sys/vm/dax_share_page_tables_lookup"
# What both programs look for at the end, objects of the series that are left over, can only be
# counted if the kernel keeps them apart from others of the same size. And seconds have to be
# seconds: on a busy host the kernel finds a wrong rate for the TSC.
_KERNEL_ARGS = ("slab_nomerge", "clocksource=acpi_pm")
# Spinners must not leave their processor: one each, and one for the process that changes things.
MACHINE = Machine(memory_mib=1024, vcpus=4, nvdimm_mib=6144, kernel_args=_KERNEL_ARGS)
# Debug kernels need room for what they keep about each page and object.
DEBUG_MACHINE = dataclasses.replace(MACHINE, memory_mib=2048)
# The semantic tests have the OOM killer end a process, and pages fail.
TOLERATED = frozenset({"out-of-memory", "memory-failure"})
# The second namespace of region 0, in raw mode.
RAW_DEVICE = "/dev/pmem0.1"
# Twice its size is reserved: namespaces are aligned.
_RAW_MIB = 64
PROVISION_SECONDS = 300.0
# File systems with DAX, and how each comes about on a prepared NVDIMM. ext4 mounts ext2 as well.
FILE_SYSTEMS = {
    "ext2": "busybox mke2fs -b 4096 /dev/pmem0 >/dev/null; mount -t ext2 -o dax",
    "ext4": "busybox mke2fs -b 4096 /dev/pmem0 >/dev/null; mount -t ext4 -o dax=always",
    "xfs": "mount -t xfs -o dax=always",
}


# Bases of dax-pt-share: the one that `make test` boots, and the one that takes another hour.
BASES = ["6.12", pytest.param("7.3", marks=pytest.mark.slow)]


class Kernels(Protocol):
    """``kernel(series)``: the kernel of a series, ``none`` for the unpatched one."""

    def __call__(
        self, series: str, *, base: str | None = None, variant: str | None = None
    ) -> KernelArtifact: ...


class Boots(Protocol):
    """``boots(machine, kernel)``: a guest that has the programs."""

    def __call__(
        self,
        machine: Machine,
        kernel: KernelArtifact,
        *,
        tolerate: frozenset[str] = frozenset(),
        seconds: float | None = None,
    ) -> Guest: ...


def image_with_programs(store: Store, image: ImageArtifact, directory: Path) -> ImageArtifact:
    """The image with the test programs appended: the kernel unpacks one archive after another."""
    programs = build_programs(store, HERE, PlainReporter())
    initramfs = directory / "tests.cpio"
    cpio.concatenate([image.initramfs, programs], initramfs)
    return dataclasses.replace(
        image, initramfs=initramfs, digest=f"{image.digest}+{programs.parent.name}"
    )


def provision(machine: Machine) -> Job:
    """Make the file system in most of the NVDIMM, and :data:`RAW_DEVICE` of the rest.

    O_DIRECT between a mapping and the raw device pins pages by address, which reads and writes of
    a DAX file do not.
    """
    script = f"""
        set -e
        ndctl disable-region region0
        ndctl init-labels --force nmem0
        ndctl enable-region region0
        ndctl create-namespace --region=region0 --mode=fsdax --map=mem \\
            --size={machine.nvdimm_mib - _RAW_MIB}M
        ndctl create-namespace --region=region0 --mode=raw --size={_RAW_MIB // 2}M
        [ -b {RAW_DEVICE} ]
        provision-dax
    """
    return Job(argv=["sh", "-c", script], timeout=PROVISION_SECONDS)


def on_reflink(argv: list[str]) -> list[str]:
    """The command that runs a program on XFS whose files can share blocks."""
    steps = [
        "set -e",
        "umount /mnt/dax",
        "mkfs.xfs -q -f -m reflink=1 /dev/pmem0",
        "mount -t xfs -o dax=always /dev/pmem0 /mnt/dax",
        shlex.join(argv),
    ]
    return ["sh", "-c", "; ".join(steps)]


def flags(file_system: str, seconds: int, *, off_again: bool = False) -> list[str]:
    """The command that runs ``flags`` on one of :data:`FILE_SYSTEMS`.

    ``off_again``: a second time after sharing has been on and off.
    """
    program = f"flags --directory /mnt/dax --seconds {seconds}"
    steps = ["set -e", "umount /mnt/dax", f"{FILE_SYSTEMS[file_system]} /dev/pmem0 /mnt/dax"]
    steps.append(program)
    if off_again:
        steps += [f"echo 1 >{SWITCH}", f"echo 0 >{SWITCH}", program]
    return ["sh", "-c", "; ".join(steps)]


def run_program(
    guest: Guest, argv: list[str], *, switch: str | None, seconds: float, walk: bool = False
) -> JobResult:
    """Prepare the NVDIMM, set the switch (None: the kernel has none), run a test program.

    ``walk``: shared tables are looked up by a walk, and not by the index.
    """
    prepared = guest.run(
        provision(guest.machine), Deadline.after(PROVISION_SECONDS, "preparing the NVDIMM")
    )
    assert prepared.status == 0, prepared.output
    setup = () if switch is None else (Write(SWITCH, switch),)
    if walk:
        setup = (*setup, Write(LOOKUP, "1"))
    job = Job(argv=argv, setup=setup, timeout=seconds)
    return guest.run(job, Deadline.after(seconds, f"`{' '.join(argv)}`"))
