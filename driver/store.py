# SPDX-License-Identifier: Apache-2.0
"""Content-addressed artifacts: the digest of what went in names the directory of what came out.

Layout under the root (the user's cache directory unless ``DRIVER_CACHE`` says otherwise)::

    <kind>/<digest>/artifact.json     inputs, creation time, digest of every file
    <kind>/<digest>/...               the files themselves
    locks/<kind>-<digest>.lock        held while one process makes the artifact
    tmp/<kind>-<digest>.<pid>/        where it is made, before the rename that publishes it

An artifact is complete or absent: nothing half-made ever carries its final name. On every use
its files are compared with the recorded digests, so that a corrupted cache rebuilds itself
instead of poisoning results. What has been handed out stays locked for as long as the
:class:`Store` that handed it out is there, and its directory's time of modification says when that
was: :mod:`driver.prune` removes what nobody has used for longest when there is too much.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import shutil
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from driver.atomic_write import write_atomically
from driver.digest import digest_of, file_digest, tree_digest
from driver.process import hand_down
from driver.prune import MANIFEST, describe, limit, prune

_log = logging.getLogger(__name__)

__all__ = ["Artifact", "Store", "digest_of", "file_digest", "tree_digest"]


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
    """Artifacts by kind and digest below one root directory.

    Keep it for as long as you use what it gave you.
    """

    def __init__(self, root: Path | None = None, *, notify: Callable[[str], None] | None = None):
        self.root = root or cache_root()
        self._notify = notify or (lambda _message: None)
        self._held: dict[Path, int] = {}
        weakref.finalize(self, _release, self._held)

    def find(self, kind: str, inputs: Mapping[str, Any]) -> Artifact | None:
        """The artifact made from exactly these inputs, or None; corrupted ones count as absent."""
        return self._load(kind, digest_of(inputs))

    def recall(self, kind: str, digest: str) -> Artifact | None:
        """The artifact that a manifest names by its digest, or None if it is no longer here."""
        return self._load(kind, digest)

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
            _log.info("%s %s is in the cache", kind, found.short)
            return found
        _log.info("%s %s is not in the cache: making it", kind, digest[:12])
        with self.lock(f"{kind}-{digest[:24]}", waiting_for=f"another driver making this {kind}"):
            found = self._load(kind, digest)
            if found is not None:
                return found
            return self._make(kind, digest, inputs, make)

    def displace(self, artifact: Artifact, why: str) -> None:
        """Remove an artifact that must be made again; who uses it keeps its open files."""
        self._discard(artifact.kind, artifact.path, why)

    @contextmanager
    def lock(self, name: str, *, waiting_for: str) -> Iterator[None]:
        """Hold the named lock; announce a wait instead of standing still in silence."""
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _log.info("%s is locked", lock.lock_file)
            self._notify(f"waiting for {waiting_for}")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def lock_with_programs(self, name: str, *, waiting_for: str) -> Iterator[None]:
        """As :meth:`lock`, for as long as programs started under it run: git, make, compilers.

        They go on for a while when the driver is killed. A second driver waits for them.
        """
        with (
            self.lock(name, waiting_for=waiting_for),
            (self.root / "locks" / f"{name}.programs").open("wb") as held,
        ):
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._notify(f"waiting for programs that are left running by {waiting_for}")
                fcntl.flock(held, fcntl.LOCK_EX)
            with hand_down(held.fileno()):
                yield

    def scratch(self, *parts: str) -> Path:
        """A directory that may outlive the process but may be deleted at any time (build trees).

        By its real name: what is built there remembers where it is.
        """
        path = self.root.joinpath("scratch", *parts)
        path.mkdir(parents=True, exist_ok=True)
        return path.resolve()

    def _path(self, kind: str, digest: str) -> Path:
        return self.root / kind / digest[:24]

    def _load(self, kind: str, digest: str) -> Artifact | None:
        path = self._path(kind, digest)
        if not self._hold(path):
            return None
        try:
            manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
            files, inputs, facts = (dict(manifest[key]) for key in ("files", "inputs", "facts"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError):
            self._discard(kind, path, "its manifest is unreadable")
            return None
        for name, recorded in files.items():
            if not (path / name).is_file() or file_digest(path / name) != recorded:
                self._discard(kind, path, f"{name} is not what was stored")
                return None
        return Artifact(kind, digest, path, inputs, facts)

    def _hold(self, path: Path) -> bool:
        """Keep an artifact from being pruned, and note that it was used; False if it is absent."""
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return False
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits no longer than a rename takes
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                with contextlib.suppress(OSError):  # a cache that may only be read
                    os.utime(descriptor)
                _release({path: self._held.pop(path, -1)})
                self._held[path] = descriptor
                return True
        os.close(descriptor)
        return False

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
        most = limit()  # a mistake in it must show before the work, not after it
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
            write_atomically(work / MANIFEST, json.dumps(manifest, indent=2, sort_keys=True))
            final.parent.mkdir(parents=True, exist_ok=True)
            if final.exists():  # a directory without a manifest: never published by us
                shutil.rmtree(final)
            # Held before others can see it, or it might be pruned at once.
            if self._hold(work):
                self._held[final] = self._held.pop(work)
            work.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        for entry in prune(self.root, most):
            self._notify(f"the cache is larger than it should be: removed {describe(entry)}")
        return Artifact(kind, digest, final, inputs, facts)


def cache_root() -> Path:
    """The directory that ``DRIVER_CACHE`` names, or the user's cache directory for the driver."""
    override = os.environ.get("DRIVER_CACHE")
    return Path(override) if override else user_cache_path("dax-pagetable-driver")


def _release(held: dict[Path, int]) -> None:
    """Let go of artifacts: what is no longer open is no longer locked."""
    for descriptor in held.values():
        if descriptor >= 0:
            os.close(descriptor)
    held.clear()
