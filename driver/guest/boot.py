# SPDX-License-Identifier: Apache-2.0
"""Starting a guest from cold: the files it boots from, and waiting for its agent."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import EmulatorFault
from driver.guest.config import NO_KINDS, GuestConfig
from driver.guest.machine import LABEL_MIB, Machine
from driver.guest.qemu_args import Files
from driver.guest.session import BOOT_SECONDS, Guest
from driver.guest.ssh_keys import Keys, Login
from driver.image import cpio

_log = logging.getLogger(__name__)

# Booting with four processors, QEMU 7.2 broke 2 guests of 60 on a busy host (see
# EmulatorFault), so that after this many in a row something else is wrong.
_BOOTS = 5


def boot(
    machine: Machine,
    kernel: KernelArtifact,
    image: ImageArtifact,
    directory: Path,
    *,
    deadline: Deadline | None = None,
    console: bool = False,
    gdb: Path | None = None,
    tolerate: frozenset[str] = NO_KINDS,
    agent: bool = True,
    plugins: tuple[str, ...] = (),
) -> Guest:
    """Boot a guest from cold and wait for its agent.

    An image without our ``agent`` is not waited for: :meth:`Guest.log_in` does, on the console.

    ``directory`` receives ``console.log`` and, for a guest with SSH, its initramfs with keys. The
    NVDIMM is new and goes with the guest. The rest as in :class:`GuestConfig`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    keys = Keys.generate() if machine.ssh else None
    config = GuestConfig(
        machine=machine,
        files=Files(
            kernel=kernel_file(machine, kernel),
            initramfs=with_keys(image.initramfs, keys, directory),
            console_log=directory / "console.log",
            system=image.system,
        ),
        login=Login(keys.login, keys.host_key) if keys else None,
        console=console,
        gdb=gdb,
        tolerate=tolerate,
        plugins=plugins,
    )
    if not agent:
        return Guest(config)
    return start(config, deadline or Deadline.after(BOOT_SECONDS, "booting the guest"))


def start(config: GuestConfig, deadline: Deadline) -> Guest:
    """Start a guest from cold and wait for its agent; on failure nothing is left.

    One with a job of its own starts paused, until the driver listens. One that the emulator broke
    is started again: nothing but booting has happened yet.
    """
    for _ in range(_BOOTS - 1):
        try:
            return _start(config, deadline)
        except EmulatorFault as fault:
            _log.info("starting the guest again: %s", fault.message)
        config.files.console_log.unlink(missing_ok=True)
    return _start(config, deadline)


def _start(config: GuestConfig, deadline: Deadline) -> Guest:
    guest = Guest(config, paused=config.job is not None)
    return ready(guest, lambda guest: guest.wait_ready(deadline))


def ready(guest: Guest, prepare: Callable[[Guest], object]) -> Guest:
    """The guest after ``prepare``; if that fails the guest is ended first."""
    try:
        prepare(guest)
    except BaseException:
        guest.close()
        raise
    return guest


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
