# SPDX-License-Identifier: Apache-2.0
"""What a host runs trials with, down to the bytes, and why that may not be good enough."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path

from driver import __version__, process
from driver.cluster.messages import Prepared, Software
from driver.experiment.run_manifest import differences
from driver.guest import emulator
from driver.guest.template_recipe import qemu_version
from driver.process import missing_program
from driver.results import provenance
from driver.store import digest_of, file_digest

# The firmware of QEMU that a guest executes: what `-bios` and `-kernel` of qemu_args.py load.
_FIRMWARE = ("qboot.rom", "pvh.bin", "linuxboot_dma.bin", "kvmvapic.bin")


def own_software() -> Software:
    """Of this host; raises :class:`HostError` if it has no QEMU."""
    return Software(
        driver=__version__,
        driver_files=driver_files(),
        qemu=qemu_version(),
        qemu_files=_qemu_files(),
        host=provenance.host(),
    )


@functools.cache
def driver_files() -> str:
    """A digest of the driver's own modules: its version does not change while it is edited."""
    root = Path(__file__).resolve().parents[1]
    files = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".toml", ".config"))
    return digest_of([[str(path.relative_to(root)), file_digest(path)] for path in files])


def software_problem(of_driver: tuple[str, str], host: Software) -> str:
    """Why a host may not take part, judged by its software; empty if it may.

    ``of_driver`` are version and :func:`driver_files` of the driver that asks.
    """
    version, files = of_driver
    if host.driver != version:
        return f"its driver is {host.driver}, this one {version}"
    if host.driver_files != files:
        return "its driver has the same version and other modules: install the same commit"
    return ""


def qemu_problem(first: Software, host: Software) -> str:
    """Why a host's QEMU may not be mixed with the first host's; empty if it may."""
    if host.qemu != first.qemu:
        return f"its emulator is {host.qemu}, that of the first host {first.qemu}"
    if host.qemu_files != first.qemu_files:
        return f"its {host.qemu} is another build, or has other firmware, than the first host's"
    return ""


def guests_problem(first: Prepared, host: Prepared) -> str:
    """Why a host's guests may not be mixed with the first host's; empty if they may."""
    if host.accel != first.accel:
        return f"its guests run under {host.accel}, those of the first host under {first.accel}"
    for expected, found in zip(first.guests, host.guests, strict=True):
        differs = differences(expected, found)
        if differs:
            return f"the {differs[0]} of its guests is another than the first host's"
        if first.accel == "kvm" and expected.qemu.template != found.qemu.template:
            return "its processor is of another kind than the first host's: times would not compare"
    if host.probe != first.probe:
        return "a trial that must repeat to the byte gave another digest than on the first host"
    return ""


def _qemu_files() -> str:
    program = shutil.which(emulator.program())
    if program is None:
        raise missing_program(emulator.program())
    files = {"program": file_digest(Path(program).resolve())}
    folders = process.run([emulator.program(), "-L", "help"], check=False).stdout.splitlines()
    for name in _FIRMWARE:
        found = [Path(folder) / name for folder in folders if (Path(folder) / name).is_file()]
        files[name] = file_digest(found[0]) if found else ""
    return digest_of(files)
