# SPDX-License-Identifier: Apache-2.0
"""The RAM of a running guest, read from the QEMU process that it is a part of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import HostError

# hw/i386/pc_q35.c: of a guest with this much RAM or more, what is above 2 GiB begins at 4 GiB; with
# less, all of it is in one piece from address 0.
_SPLIT_FROM = 0xB000_0000
_SPLIT_AT, _HIGH = 2 << 30, 4 << 30


@dataclass(frozen=True)
class Segment:
    """Guest-physical memory: ``size`` bytes from ``address``, which are ``offset`` into RAM."""

    address: int
    size: int
    offset: int


def segments(memory_mib: int) -> list[Segment]:
    """Where the RAM of a q35 machine is."""
    size = memory_mib << 20
    if size < _SPLIT_FROM:
        return [Segment(0, size, 0)]
    return [Segment(0, _SPLIT_AT, 0), Segment(_HIGH, size - _SPLIT_AT, _SPLIT_AT)]


@dataclass(frozen=True)
class QemuMemory:
    """The RAM of a guest; ``descriptor`` is QEMU's memory, ``start`` where its RAM is in that."""

    descriptor: int
    start: int
    segments: list[Segment]

    def read(self, address: int, size: int) -> bytes:
        """Bytes of guest-physical memory; :class:`ValueError` for what is not RAM."""
        for segment in self.segments:
            inside = address - segment.address
            if inside >= 0 and inside + size <= segment.size:
                return os.pread(self.descriptor, size, self.start + segment.offset + inside)
        raise ValueError(f"{size} bytes at {address:#x} are no RAM of the guest")


@contextmanager
def memory_of(pid: int, memory_mib: int) -> Iterator[QemuMemory]:
    """The RAM of the guest of a QEMU process, which must not run meanwhile.

    Raises :class:`HostError` if this user may not look into the process.
    """
    try:
        start = _ram(pid, memory_mib << 20)
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"the memory of QEMU cannot be read: {error}",
            hint="See /proc/sys/kernel/yama/ptrace_scope: 0 and 1 allow it.",
        ) from error
    try:
        yield QemuMemory(descriptor, start, segments(memory_mib))
    finally:
        os.close(descriptor)


def _ram(pid: int, size: int) -> int:
    """Where a process maps a file called ``ram`` of this size, as forks do; see proc(5)."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        first, _, last = fields[0].partition("-")
        whole = int(last, 16) - int(first, 16) == size and int(fields[2], 16) == 0
        if whole and len(fields) == 6 and Path(fields[5]).name == "ram":
            return int(first, 16)
    raise HostError(f"process {pid} has no file with {size >> 20} MiB of RAM: is it a fork?")
