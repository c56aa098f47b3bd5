# SPDX-License-Identifier: Apache-2.0
"""The files a guest boots from, as far as they are made for it."""

from __future__ import annotations

from pathlib import Path

from driver.artifacts import KernelArtifact
from driver.guest.keys import Keys
from driver.guest.machine import LABEL_MIB, Machine
from driver.image import cpio


def kernel_file(machine: Machine, kernel: KernelArtifact) -> Path:
    """What to boot: the uncompressed kernel, which is quickest, unless it cannot do what is asked.

    Five-level paging is switched on by the code that decompresses a bzImage, before the kernel
    proper runs; a vmlinux entered through PVH stays with four levels whatever the processor has.
    """
    return kernel.bzimage if machine.la57 else kernel.vmlinux


def blank(path: Path, mib: int) -> Path:
    """A sparse file of ``mib`` MiB that reads as zeros."""
    with path.open("wb") as file:
        file.truncate(mib << 20)
    return path


def blank_nvdimm(machine: Machine, directory: Path) -> Path | None:
    """A new NVDIMM for the machine, label area included; None if it has none."""
    if not machine.nvdimm_mib:
        return None
    return blank(directory / "nvdimm", machine.nvdimm_mib + LABEL_MIB)


def with_keys(initramfs: Path, keys: Keys | None, directory: Path) -> Path:
    """The initramfs, with SSH keys appended in an archive of their own if there are any."""
    if keys is None:
        return initramfs
    archive, joined = directory / "keys.cpio", directory / "initramfs"
    keys.archive(archive)
    cpio.concatenate([initramfs, archive], joined)
    archive.unlink()
    return joined
