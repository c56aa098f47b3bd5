# SPDX-License-Identifier: Apache-2.0
"""Content-addressed artifacts: the digest of what went in names the directory of what came out.

Layout under the root (the user's cache directory unless ``DRIVER_CACHE`` says otherwise)::

    <kind>/<digest>/artifact.json     inputs, creation time, digest of every file
    <kind>/<digest>/...               the files themselves
    locks/<kind>-<digest>.lock        held while one process makes the artifact
    tmp/<kind>-<digest>.<pid>/        where it is made, before the rename that publishes it

An artifact is complete or absent: nothing half-made ever carries its final name. On every use
its files are held against the recorded digests, so that a corrupted cache rebuilds itself
instead of poisoning results.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

_MANIFEST = "artifact.json"
# Read granularity. All-zero chunks are left out of a file's digest, so that a hole and a run of
# zeros (which file systems may turn into each other) digest alike and sparse gigabytes are free.
_CHUNK = 1 << 20
_ZERO = bytes(_CHUNK)


@dataclass(frozen=True)
class Artifact:
    """A published directory and what is known of it.

    ``facts`` are what the maker chose to record (a version, a count of objects): JSON values.
    """

    kind: str
    digest: str
    path: Path
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The first 12 hexadecimal digits: enough to tell artifacts apart by eye."""
        return self.digest[:12]


class Store:
    """Artifacts by kind and digest below one root directory."""

    def __init__(self, root: Path | None = None, *, notify: Callable[[str], None] | None = None):
        override = os.environ.get("DRIVER_CACHE")
        self.root = root or (
            Path(override) if override else user_cache_path("dax-pagetable-driver")
        )
        self._notify = notify or (lambda _message: None)

    def find(self, kind: str, inputs: Mapping[str, Any]) -> Artifact | None:
        """The artifact made from exactly these inputs, or None; corrupted ones count as absent."""
        return self._load(kind, digest_of(inputs))

    def get(
        self,
        kind: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], Mapping[str, Any] | None],
    ) -> Artifact:
        """Return the artifact of ``inputs``, making it first if need be.

        ``make`` fills an empty directory and returns the facts to record. Whatever it raises
        leaves the store as it was. When another process is making the same artifact, this one
        waits for it and says so through ``notify``.
        """
        digest = digest_of(inputs)
        found = self._load(kind, digest)
        if found is not None:
            return found
        with self.lock(f"{kind}-{digest[:24]}", waiting_for=f"another driver making this {kind}"):
            found = self._load(kind, digest)
            if found is not None:
                return found
            return self._make(kind, digest, inputs, make)

    @contextmanager
    def lock(self, name: str, *, waiting_for: str) -> Iterator[None]:
        """Hold the named lock; announce a wait instead of standing still in silence."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            self._notify(f"waiting for {waiting_for}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def scratch(self, *parts: str) -> Path:
        """A directory that may outlive the process but may be deleted at any time (build trees)."""
        path = self.root.joinpath("scratch", *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def _path(self, kind: str, digest: str) -> Path:
        return self.root / kind / digest[:24]

    def _load(self, kind: str, digest: str) -> Artifact | None:
        path = self._path(kind, digest)
        try:
            manifest = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            self._discard(kind, path, "its manifest is unreadable")
            return None
        for name, recorded in manifest["files"].items():
            if not (path / name).is_file() or file_digest(path / name) != recorded:
                self._discard(kind, path, f"{name} is not what was stored")
                return None
        return Artifact(kind, digest, path, manifest["inputs"], manifest["facts"])

    def _discard(self, kind: str, path: Path, why: str) -> None:
        self._notify(f"cached {kind} {path.name[:12]} is damaged ({why}); making it again")
        doomed = self.root / "tmp" / f"damaged-{path.name}.{os.getpid()}"
        doomed.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.rename(doomed)
        except FileNotFoundError:
            return
        shutil.rmtree(doomed, ignore_errors=True)

    def _make(
        self,
        kind: str,
        digest: str,
        inputs: Mapping[str, Any],
        make: Callable[[Path], Mapping[str, Any] | None],
    ) -> Artifact:
        final = self._path(kind, digest)
        parent = self.root / "tmp"
        parent.mkdir(parents=True, exist_ok=True)
        for stale in parent.glob(f"{kind}-{digest[:24]}.*"):  # ours to delete: we hold the lock
            shutil.rmtree(stale, ignore_errors=True)
        work = parent / f"{kind}-{digest[:24]}.{os.getpid()}"
        work.mkdir()
        try:
            facts = dict(make(work) or {})
            files = {
                str(path.relative_to(work)): file_digest(path)
                for path in sorted(work.rglob("*"))
                if path.is_file()
            }
            manifest = {
                "kind": kind,
                "digest": digest,
                "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "inputs": inputs,
                "facts": facts,
                "files": files,
            }
            write_atomically(work / _MANIFEST, json.dumps(manifest, indent=2, sort_keys=True))
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():  # a directory without a manifest: never published by us
                shutil.rmtree(final)
            work.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        return Artifact(kind, digest, final, inputs, facts)


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a JSON-able value in canonical form: sorted keys, no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file's size and of every 1 MiB chunk of it that is not all zeros."""
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(size.to_bytes(8, "little"))
        offset = 0
        while offset < size:
            offset = _next_data(file.fileno(), offset, size)
            if offset >= size:
                break
            chunk = os.pread(file.fileno(), _CHUNK, offset)
            if not chunk:
                break
            if chunk != _ZERO[: len(chunk)]:
                digest.update(offset.to_bytes(8, "little"))
                digest.update(chunk)
            offset += _CHUNK
    return digest.hexdigest()


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


def write_atomically(path: Path, text: str) -> None:
    """Replace a text file so that a reader, or a crash, sees the old or the new and no mixture."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _next_data(descriptor: int, offset: int, size: int) -> int:
    """The start of the chunk that holds the next data at or after ``offset``."""
    try:
        data = os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError:  # ENXIO: nothing but a hole up to the end
        return size
    return max(offset, data - data % _CHUNK)
