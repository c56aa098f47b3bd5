# SPDX-License-Identifier: Apache-2.0
"""Beginning a build directory where a sibling is, instead of from nothing.

A first build compiles 1,335 objects in minutes, and nearly all of them have been compiled before:
for the unpatched kernel, or for the series as it was. So a new build directory starts as a copy of
the one whose source differs least, and its source tree as that one's, with the same times on all
files (see :func:`driver.kernel.worktree.add`). Then git writes the files that differ, which makes
them new, and make compiles what depends on them: as if the sibling had been built on, with git
switching its tree from one commit to the other.

Only the place is another one. kbuild writes the paths of both directories into the commands it
records, and compiles anew whatever was compiled by another command; so they are replaced there. A
path that is missed costs a compilation, never a wrong object. A kernel with debug information is
no seed: its objects name the sibling's files.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from driver.atomic_write import write_atomically
from driver.kernel.git import git
from driver.kernel.kbuild import VMLINUX
from driver.process import run
from driver.store import Store

_log = logging.getLogger(__name__)

_RECORD = "driver-pair.json"
# Files of a build directory in which kbuild keeps paths.
_WITH_PATHS = (".cmd", ".d")
# A header is included by many; how many, only a build would tell.
_HEADER_WEIGHT = 50


@dataclass(frozen=True)
class BuildTree:
    """A build directory and the source tree it is of.

    ``repository`` is the git repository the tree belongs to, ``variant`` what the kernel is built
    as. ``lock`` names the lock that whoever builds there holds, ``moving`` the one of those whose
    tree it is, as variants of a series have one between them; it is empty where there is one build
    only. ``origin`` is the checkout that it is a build of, or empty.
    """

    build: Path
    tree: Path
    repository: Path
    variant: str
    lock: str
    moving: str = ""
    origin: str = ""

    @contextmanager
    def held(self, store: Store, title: str) -> Iterator[None]:
        """Let nobody else build here or move the tree."""
        with ExitStack() as held:
            for name in filter(None, (self.moving, self.lock)):
                waiting = f"another driver building {title}"
                held.enter_context(store.lock(name, waiting_for=waiting))
            yield

    def record(self) -> None:
        """Let later builds find this one."""
        text = json.dumps({name: str(value) for name, value in asdict(self).items()})
        write_atomically(self.build / _RECORD, text)


@contextmanager
def sibling(store: Store, new: BuildTree, commit: str) -> Iterator[BuildTree | None]:
    """The pair to begin ``new`` with, where nobody builds; None if it exists or there is none.

    Its tree may be moved meanwhile, for another variant of it: see :func:`worktree.prepare`.

    Where the tree exists and the build directory does not, only a build of that very tree will do:
    of any other the times would mean nothing.
    """
    if any(_content(new.build)):
        yield None
        return
    with ExitStack() as held:
        for pair in _candidates(new, commit):
            # Still usable, now that nobody else may change it?
            if _try_lock(held, store, pair.lock) and is_usable(pair):
                _log.info("starting with the objects of %s", pair.build)
                yield pair
                return
        _log.info("no earlier build to start with: everything is compiled")
        yield None


def forget_lost(store: Store, folder: Path) -> None:
    """Remove the builds below ``folder`` of checkouts that are no longer there."""
    for pair in _recorded(folder):
        if not pair.origin or Path(pair.origin).exists():
            continue
        with ExitStack() as held:
            if all(_try_lock(held, store, name) for name in (pair.moving, pair.lock) if name):
                shutil.rmtree(pair.build, ignore_errors=True)
                shutil.rmtree(pair.tree, ignore_errors=True)


def forget_unused(pair: BuildTree) -> None:
    """Remove a work tree, held by the caller, of which nothing was built, so as to make it anew.

    Whoever made it was interrupted before anything was copied; objects of a sibling would be of no
    use to it any more, since its files have other times.
    """
    used = any(other.tree == pair.tree for other in _recorded(pair.build.parent))
    if pair.moving and not used and not any(_content(pair.build)):
        shutil.rmtree(pair.tree, ignore_errors=True)


def copy_objects(old: BuildTree, new: BuildTree) -> None:
    """Make the build directory of ``new`` a copy of that of ``old``."""
    partial = new.build.with_name(f".{new.build.name}.{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        run(["cp", "-a", "--reflink=auto", old.build, partial])
        (partial / _RECORD).unlink()
        _relocate(partial, {str(old.tree): str(new.tree), str(old.build): str(new.build)})
        shutil.rmtree(new.build, ignore_errors=True)
        partial.rename(new.build)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _candidates(new: BuildTree, commit: str) -> list[BuildTree]:
    """Finished builds of the same repository and variant, the nearest first."""
    found = []
    fresh = not new.tree.exists()
    for pair in _recorded(new.build.parent):
        alike = (pair.repository, pair.variant) == (new.repository, new.variant)
        if alike and is_usable(pair) and (fresh or pair.tree == new.tree):
            found.append((_distance(pair.tree, commit), pair.build.name, pair))
    return [pair for _, _, pair in sorted(found, key=lambda entry: entry[:2])]


def _recorded(folder: Path) -> Iterator[BuildTree]:
    """The pairs whose build directories are in a folder, as far as their records can be read."""
    for path in folder.glob(f"*/{_RECORD}"):
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            build, tree, repository = (Path(told[name]) for name in ("build", "tree", "repository"))
            rest = {name: told[name] for name in ("variant", "lock", "moving", "origin")}
            pair = BuildTree(build, tree, repository, **rest)
        except (OSError, ValueError, KeyError):
            continue
        # A cache that was moved names places that are no longer there.
        if pair.build == path.parent:
            yield pair


def is_usable(pair: BuildTree) -> bool:
    """Whether a build can be copied: it is finished, and names no files in its objects."""
    if not (pair.build / VMLINUX).exists() or not pair.tree.is_dir():
        return False
    config = (pair.build / ".config").read_text(encoding="utf-8")
    return "\nCONFIG_DEBUG_INFO=y\n" not in config


def _distance(tree: Path, commit: str) -> int:
    """How much there is to compile, roughly, when a tree moves to another commit."""
    names = git(tree, "diff", "--name-only", "--no-renames", "HEAD", commit).stdout.splitlines()
    return sum(_HEADER_WEIGHT if name.endswith(".h") else 1 for name in names)


def _relocate(folder: Path, moves: dict[str, str]) -> None:
    """Replace paths where kbuild keeps them, leaving every file as old as it was."""
    for where, _, names in os.walk(folder):
        for name in names:
            path = Path(where, name)
            if not (name.endswith(_WITH_PATHS) or path == folder / "Makefile"):
                continue
            text = path.read_bytes()
            moved = text
            for old, new in moves.items():
                moved = moved.replace(old.encode(), new.encode())
            if moved != text:
                times = path.stat()
                path.write_bytes(moved)
                os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _try_lock(held: ExitStack, store: Store, name: str) -> bool:
    """Take a lock unless someone holds it: waiting for a build would cost what it saves."""
    lock = FileLock(store.root / "locks" / f"{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return False
    held.callback(lock.release)
    return True


def _content(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())
