# SPDX-License-Identifier: Apache-2.0
"""SHA-256 of values, files and directories, such that what is equal digests alike."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# Read granularity. All-zero chunks are left out of a file's digest, so that a hole and a run of
# zeros (which file systems may turn into each other) digest alike and sparse gigabytes are free.
CHUNK = 1 << 20
_ZERO = bytes(CHUNK)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value in canonical form: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's size and of every chunk of it that is not all zeros."""
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        offsets = data_offsets(descriptor, size)
        return chunks_digest(
            size, ((offset, os.pread(descriptor, CHUNK, offset)) for offset in offsets)
        )


def chunks_digest(size: int, chunks: Iterable[tuple[int, bytes]]) -> str:
    """The digest of a file of ``size`` bytes that holds these chunks, by ascending offset."""
    digest = hashlib.sha256(size.to_bytes(8, "little"))
    for offset, chunk in chunks:
        if chunk != _ZERO[: len(chunk)]:
            digest.update(offset.to_bytes(8, "little"))
            digest.update(chunk)
    return digest.hexdigest()


def data_offsets(descriptor: int, size: int) -> Iterator[int]:
    """Where in the first ``size`` bytes of an open file there are chunks that are not holes."""
    offset = 0
    while (offset := _next_data(descriptor, offset, size)) < size:
        yield offset
        offset += CHUNK


def tree_digest(root: Path) -> str:
    """SHA-256 (hex) over the names, modes and contents of all files below a directory."""
    entries = []
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if path.is_symlink():
            entries.append([name, "link", str(path.readlink())])
        elif path.is_file():
            executable = bool(path.stat().st_mode & 0o100)
            entries.append([name, "exec" if executable else "file", file_digest(path)])
    return digest_of(entries)


def _next_data(descriptor: int, offset: int, size: int) -> int:
    """The start of the chunk that holds the next data at or after ``offset``."""
    try:
        data = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole up to the end
        return size
    return max(offset, data - data % CHUNK)
