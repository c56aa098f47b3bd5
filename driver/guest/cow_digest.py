# SPDX-License-Identifier: Apache-2.0
"""What a guest has made of a file that it maps privately, without asking QEMU.

A fork's NVDIMM is the template's file, mapped copy-on-write: its image is the file overlaid with
the pages that the guest has written, and those are in QEMU's memory and nowhere else. QEMU could
write the whole image to a file (``pmemsave``), but takes seconds and as much disk for it; the
pages that were written are found through /proc/PID/pagemap in milliseconds.
"""

from __future__ import annotations

import mmap
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

from driver.digest import CHUNK, chunks_digest, data_offsets
from driver.errors import HostError
from driver.text import reason

_PAGE = mmap.PAGESIZE
# Documentation/admin-guide/mm/pagemap.rst: present, swapped out, backed by a file.
_PRESENT, _SWAPPED, _FILE = 1 << 63, 1 << 62, 1 << 61


def image_digest(pid: int, path: Path, size: int) -> str:
    """The digest of the first ``size`` bytes of a file as process ``pid`` sees them.

    The process maps the file privately and is not writing to it now. The digest is that of
    :func:`driver.digest.file_digest` for a file with this content. Raises :class:`HostError` if
    this user may not look into the process.
    """
    try:
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise HostError(
            f"cannot read the memory of QEMU: {reason(error)}",
            hint="Allow it: sudo sysctl kernel.yama.ptrace_scope=1",
        ) from error
    try:
        with path.open("rb", buffering=0) as file:
            pages = _written_pages(pid, path.resolve())
            return chunks_digest(size, _overlaid(file.fileno(), memory, pages, size))
    finally:
        os.close(memory)


def _written_pages(pid: int, path: Path) -> dict[int, int]:
    """Addresses of the pages of the file that the process has copies of, by offset in the file."""
    pages: dict[int, int] = {}
    with Path(f"/proc/{pid}/pagemap").open("rb", buffering=0) as pagemap:
        for start, end, offset in _mappings(pid, path):
            entries = array("Q")
            wanted = (end - start) // _PAGE * entries.itemsize
            entries.frombytes(os.pread(pagemap.fileno(), wanted, start // _PAGE * 8))
            for index, entry in enumerate(entries):
                if entry & (_PRESENT | _SWAPPED) and not entry & _FILE:
                    pages[offset + index * _PAGE] = start + index * _PAGE
    return pages


def _mappings(pid: int, path: Path) -> Iterator[tuple[int, int, int]]:
    """First and last address and offset in the file of each of its mappings (see proc(5))."""
    for line in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines():
        fields = line.split(maxsplit=5)
        if len(fields) == 6 and fields[5] == str(path):
            start, _, end = fields[0].partition("-")
            yield int(start, 16), int(end, 16), int(fields[2], 16)


def _overlaid(
    file: int, memory: int, pages: Mapping[int, int], size: int
) -> Iterator[tuple[int, bytes]]:
    """The file's chunks with the written pages in their places, by ascending offset."""
    touched: dict[int, list[int]] = {}
    for offset in pages:
        if offset < size:
            touched.setdefault(offset - offset % CHUNK, []).append(offset)
    for start in sorted({*data_offsets(file, size), *touched}):
        length = min(CHUNK, size - start)
        chunk = bytearray(os.pread(file, length, start).ljust(length, b"\0"))
        for offset in touched.get(start, []):
            inside = offset - start
            chunk[inside : inside + _PAGE] = os.pread(memory, _PAGE, pages[offset])
        yield start, bytes(chunk[:length])
