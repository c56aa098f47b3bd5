# SPDX-License-Identifier: Apache-2.0
"""Real kernels that die before they have a console, made by overwriting an instruction of one."""

from __future__ import annotations

import dataclasses
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import GuestSplat
from driver.guest.boot import boot
from driver.guest.machine import Machine
from driver.kernel.symbols import Symbols

UD2, JUMP_TO_ITSELF, HALT = b"\x0f\x0b", b"\xeb\xfe", b"\xfa\xf4"
# Of a segment in an ELF file (elf(5)): p_type, p_flags, p_offset, p_vaddr, p_paddr, p_filesz.
_SEGMENT = struct.Struct("<IIQQQQQQ")
_LOAD = 1


def overwritten(kernel: KernelArtifact, folder: Path, function: str, code: bytes) -> KernelArtifact:
    """The same kernel, with other code at the beginning of a function."""
    (address,) = Symbols(kernel.vmlinux)._by_name[function]
    data = bytearray(kernel.vmlinux.read_bytes())
    (table,), (count,) = struct.unpack_from("<Q", data, 32), struct.unpack_from("<H", data, 56)
    for number in range(count):
        found = _SEGMENT.unpack_from(data, table + number * _SEGMENT.size)
        kind, _, offset, start, _, size, _, _ = found
        if kind == _LOAD and start <= address < start + size:
            at = offset + address - start
            data[at : at + len(code)] = code
            path = folder / "vmlinux"
            path.write_bytes(data)
            return dataclasses.replace(kernel, vmlinux=path)
    raise AssertionError(f"{function} is in no segment")


@pytest.mark.parametrize("accel", ["tcg", "icount"])
@pytest.mark.parametrize(
    ("code", "where"),
    [
        (UD2, r"halted with interrupts off in native_halt|halted .* in early_fixup_exception"),
        (JUMP_TO_ITSELF, r"executing in start_kernel\+0x0/"),
        (HALT, r"halted with interrupts off in start_kernel\+0x2/"),
    ],
    ids=["ud2", "jump", "halt"],
)
def test_it_is_found_out_within_seconds(  # noqa: PLR0917
    accel: str,
    code: bytes,
    where: str,
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    tmp_path: Path,
) -> None:
    dead = overwritten(kernel("none"), tmp_path, "start_kernel", code)
    machine = Machine(memory_mib=256, nvdimm_mib=0, accel=accel)  # type: ignore[arg-type]
    began = time.monotonic()
    with pytest.raises(GuestSplat, match=where) as caught, boot(machine, dead, image, tmp_path):
        pass
    # On a busy host only the time counts in which QEMU had a processor.
    assert time.monotonic() - began < 60
    assert "x86_64_start_kernel" in (caught.value.excerpt or "")
    if code == UD2:  # early_printk() says PANIC, but only to a console
        assert "RIP: 0010:start_kernel+0x0/" in (caught.value.excerpt or "")
