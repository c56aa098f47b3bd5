# SPDX-License-Identifier: Apache-2.0
"""Options without which a guest does not boot, or boots without being heard."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from driver.kernel.kconfig import parse

# By symbol: what the guest does without it. docs/how-to/choose-the-kernel.md lists them.
NEEDED: Mapping[str, str] = {
    "PVH": "QEMU cannot start vmlinux",
    "PRINTK": "the kernel says nothing",
    "PRINTK_TIME": "complaints are not recognised: a line of the kernel has a time stamp",
    "TTY": "there is no console",
    "SERIAL_8250": "there is no serial port",
    "SERIAL_8250_CONSOLE": "nothing is printed on the serial port",
    "BLK_DEV_INITRD": "the initramfs is ignored: no root file system",
    "BINFMT_ELF": "no program can be executed, init first (error -8)",
    "BINFMT_SCRIPT": "no script can be executed (error -8)",
    "PCI": "there is no virtio device",
    "VIRTIO_PCI": "there is no virtio device",
    "VIRTIO_CONSOLE": "the agent has no channel to the driver",
    "PROC_FS": "the counters cannot be read",
    "SYSFS": "the agent does not find its channel",
    "DEVTMPFS": "there are no device nodes",
}


def lacking(config: Path) -> list[str]:
    """What a kernel of this ``.config`` lacks to boot a guest: each symbol, and what comes of it.

    Nothing if the file is not there.
    """
    try:
        found = parse(config)
    except OSError:
        return []
    return [
        f"CONFIG_{name} ({why})"
        for name, why in NEEDED.items()
        if found.get(name, "n") not in ("y", "m")
    ]
