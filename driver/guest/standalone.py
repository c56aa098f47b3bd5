# SPDX-License-Identifier: Apache-2.0
"""A guest's QEMU command line for people: it can be pasted, and runs without the driver."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from driver.guest import emulator
from driver.guest.machine import Machine
from driver.guest.qemu_args import JOB_BYTES, Files, Ports, argv


def standalone_command(machine: Machine, files: Files) -> str:
    """A line of shell that boots a guest of this machine from cold.

    It makes a new directory, prints its name, and runs QEMU in it: the console is on the terminal
    (Ctrl-A X ends QEMU) and in ``console.log``; QMP and the guest's agent listen on the Unix
    sockets ``qmp`` and ``agent``. Nothing else is written: the guest's memory is anonymous, and
    what it does to the NVDIMM of a template stays in this QEMU. The line works for as long as the
    files do that it names.
    """
    own = Files(
        kernel=files.kernel.absolute(),
        initramfs=files.initramfs.absolute(),
        console_log=Path("console.log"),
        nvdimm=files.nvdimm.absolute() if files.nvdimm else None,
        system=files.system and replace(files.system, path=files.system.path.absolute()),
    )
    ports = Ports(monitor=Path("qmp"), agent=Path("agent"), console="stdio")
    prepare = ""
    if machine.deterministic:
        ports = replace(ports, job=Path("job"), start_trigger=Path("start-trigger"))
        # All zeros is no job: the agent waits for one, as in a template.
        prepare = f"truncate -s {JOB_BYTES} job && "
    line = shlex.join(emulator.command(argv(machine, own, ports)))
    return f'(cd "$(mktemp -d)" && pwd && {prepare}exec {line})'
