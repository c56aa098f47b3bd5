# SPDX-License-Identifier: Apache-2.0
"""Artifacts on their way between caches: read in pieces, put together, checked, published.

These functions run on hosts, as tasks, and on the driver. A piece is compressed and at most
:data:`PIECE` bytes long before that; what is all zeros is not sent.
"""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from driver.cluster.messages import FileDigests
from driver.digest import CHUNK, data_offsets, digest_of, file_digest
from driver.errors import HostError
from driver.prune import MANIFEST
from driver.store import Artifact, Store

PIECE = 8 * CHUNK
_LEVEL = 1  # of zlib: 100 MB/s and more, and half of a kernel or an image


def describe(artifact: Artifact) -> FileDigests:
    """An artifact of the store, as other hosts must have it."""
    manifest = json.loads((artifact.path / MANIFEST).read_text(encoding="utf-8"))
    return FileDigests(
        kind=artifact.kind,
        digest=str(manifest["digest"]),
        inputs=manifest["inputs"],
        facts=manifest["facts"],
        files=manifest["files"],
    )


def lacking(store: Store, wanted: FileDigests) -> bool:
    """Whether a store lacks an artifact with exactly these files.

    One that was made of the same inputs and has other bytes is no replacement: where trials repeat
    to the byte, its guests would not agree with those of other hosts. It is removed.
    """
    found = store.recall(wanted.kind, wanted.digest)
    if found is None:
        return True
    if describe(found).files == wanted.files:
        return False
    store.displace(found, "it was made elsewhere of the same inputs, and has other bytes")
    return True


def pieces(path: Path) -> Iterator[int]:
    """The offsets of the pieces of a file that hold data."""
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        found = {offset - offset % PIECE for offset in data_offsets(file.fileno(), size)}
    return iter(sorted(found))


def read_piece(path: Path, offset: int) -> bytes:
    """One piece of a file, compressed."""
    with path.open("rb", buffering=0) as file:
        return zlib.compress(os.pread(file.fileno(), PIECE, offset), _LEVEL)


def write_piece(folder: Path, name: str, offset: int, packed: bytes) -> None:
    """Put a piece in its place in a file below a folder."""
    path = _below(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    expander = zlib.decompressobj()
    content = expander.decompress(packed, PIECE)
    if not expander.eof:
        raise HostError(f"a piece of {name} is longer than a piece may be")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        for start in range(0, len(content), CHUNK):
            chunk = content[start : start + CHUNK]
            if chunk.strip(b"\0"):  # a hole stays one
                os.pwrite(descriptor, chunk, offset + start)
    finally:
        os.close(descriptor)


def publish(store: Store, wanted: FileDigests, sizes: Mapping[str, int], folder: Path) -> None:
    """Make an artifact of the files in a folder, if each is what was wanted.

    Raises :class:`HostError` naming the file that is not, and leaves the store as it was.
    """
    if digest_of(wanted.inputs) != wanted.digest:
        raise HostError(f"the {wanted.kind} {wanted.digest[:12]} has inputs of another digest")

    def make(work: Path) -> Mapping[str, Any]:
        for name, digest in wanted.files.items():
            source, target = _below(folder, name), _below(work, name)
            source.parent.mkdir(parents=True, exist_ok=True)
            with source.open("ab") as file:
                file.truncate(sizes[name])
            if file_digest(source) != digest:
                raise HostError(f"{name} of {wanted.kind} {wanted.digest[:12]} arrived damaged")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
        return wanted.facts

    try:
        store.get(wanted.kind, wanted.inputs, make)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def incoming(store: Store, transfer: str) -> Path:
    """Where the pieces of a transfer are put together; its name is a word."""
    if not transfer.isalnum():
        raise HostError(f"{transfer!r} cannot be the name of a transfer")
    return store.scratch("cluster", "incoming") / transfer


def _below(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or path.name == MANIFEST:
        raise HostError(f"{name!r} cannot be a file of an artifact")
    return path
