# SPDX-License-Identifier: Apache-2.0
"""Pristine sources in the cache: one git repository each, one commit, always the same ids.

Layout: ``<store>/sources/<name>/source.json`` and ``.../linux`` with the repository and its work
tree. The unpatched kernel is built from that work tree; every series has a linked one elsewhere.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from driver.atomic_write import write_atomically
from driver.errors import HostError
from driver.kernel.git import git
from driver.kernel.sources.source import KernelSource, kernel_version, short_name
from driver.process import explaining
from driver.progress import Reporter
from driver.store import Store
from driver.text import binary

_RECORD = "source.json"
# The branch that has the one commit.
BASE = "base"
# What a source needs while it is imported: the package, the work tree and its objects.
_FREE_BYTES = 3 << 30


def folder(store: Store) -> Path:
    """Where sources are, by its real name, like :meth:`Store.scratch`."""
    path = store.root / "sources"
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def find(store: Store, name: str) -> KernelSource | None:
    """The imported source of that name, or None."""
    home = folder(store) / name
    try:
        record = json.loads((home / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not (home / "linux/.git").is_dir():
        return None
    place = short_name(record["version"], record["identity"])
    return KernelSource(tree=home / "linux", pristine=True, place=place, commit=BASE, **record)


def names(store: Store, prefix: str) -> list[str]:
    """The names of all imported sources that begin with ``prefix``."""
    found = (path.parent.name for path in folder(store).glob(f"*/{_RECORD}"))
    return sorted(name for name in found if name.startswith(prefix))


def trees(store: Store) -> dict[str, Path]:
    """The work trees of all imported sources, by kernel version."""
    found = (find(store, name) for name in names(store, ""))
    return {source.version: source.tree for source in found if source is not None}


def add(
    store: Store,
    name: str,
    *,
    label: str,
    origin: Mapping[str, Any],
    unpack: Callable[[Path], Path],
    reporter: Reporter,
) -> KernelSource:
    """Import a source: ``unpack`` fills a directory and returns the kernel tree inside it.

    Published by rename: a half-unpacked source never carries its name.
    """
    waiting = f"another driver fetching {label}"
    with store.lock_with_programs(f"source-{name}", waiting_for=waiting):
        found = find(store, name)
        if found is not None:
            return found
        work = store.root / "tmp" / f"source-{name}"
        shutil.rmtree(work, ignore_errors=True)  # ours to delete: we hold the lock
        (work / "unpacked").mkdir(parents=True)
        try:
            _check_space(work)
            tree = unpack(work / "unpacked")
            version = kernel_version(tree)
            reporter.step(f"Recording {label} in git")
            with explaining(f"record {label} in git"):
                content = _commit(tree, label)
            record = {
                "identity": f"tree:{content}",
                "version": version,
                "label": label,
                "origin": {**origin},
            }
            home = work / "home"
            home.mkdir()
            tree.rename(home / "linux")
            write_atomically(home / _RECORD, json.dumps(record, indent=2))
            final = folder(store) / name
            shutil.rmtree(final, ignore_errors=True)
            home.rename(final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    found = find(store, name)
    assert found is not None
    return found


def _commit(tree: Path, label: str) -> str:
    """Make ``tree`` a repository with one commit; the id of the tree object."""
    git(tree, "init", "--quiet", "--object-format=sha1", "--template=", f"--initial-branch={BASE}")
    # Series are commits nothing but a detached work tree refers to: git must never tidy them up.
    git(tree, "config", "gc.auto", "0")
    git(tree, "config", "core.autocrlf", "false")
    # A threshold of one byte sends all files into one pack instead of 85,000 loose objects.
    git(tree, "-c", "core.bigFileThreshold=1", "-c", "core.compression=1", "add", "-A", "-f")
    git(tree, "commit", "--quiet", "--no-verify", "--no-gpg-sign", "-m", label)
    return git(tree, "rev-parse", "HEAD^{tree}").stdout.strip()


def _check_space(path: Path) -> None:
    free = shutil.disk_usage(path).free
    if free < _FREE_BYTES:
        raise HostError(
            f"a kernel source needs {binary(_FREE_BYTES)} in {path.parent.parent}, "
            f"which has {binary(free)} free",
            hint="Free some space, or set DRIVER_CACHE to a directory on a larger disk.",
        )
