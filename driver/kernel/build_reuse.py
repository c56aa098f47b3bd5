# SPDX-License-Identifier: Apache-2.0
"""Beginning a build directory where a sibling is, instead of from nothing.

A first build compiles 1,335 objects in minutes, and nearly all of them have been compiled before:
for the unpatched kernel, or for the series as it was. So a new build directory starts as a copy of
the one whose source differs least, and its source tree as that one's, with the same times on all
files (see :func:`driver.kernel.worktree.add`). Then git writes the files that differ, which makes
them new, and make compiles what depends on them: as if the sibling had been built on, with git
switching its tree from one commit to the other.

Only the place is another one. kbuild writes the paths of both directories into the commands it
records, and compiles again whatever was compiled by another command; so they are replaced there. A
path that is missed costs a compilation, never a wrong object. A kernel with debug information is
no seed: its objects name the sibling's files.

ccache does less of this: it saves compilers and nothing else. Measured in processor time (gcc 12,
ccache 4.7.5 with direct mode and a base directory, hits for all but one object): the first build of
a tree that differs in mm/memory.c takes 41 s from here, for all 1,391 objects of Linux 7.3, links
and the reading of the tree included (``time driver build kernel --source CHECKOUT``). ccache takes
28 s for the 339 objects of ``make prepare kernel/ mm/`` alone, of 264 s without it, which is more
than 80 s for a whole kernel: make, objtool, host programs and generated headers still run.
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

_RECORD = "driver-build.json"
_FOLDERS = ("objtree", "srctree", "repository")
# Files of a build directory in which kbuild keeps paths.
_WITH_PATHS = (".cmd", ".d")
# A header is included by many; how many, only a build would tell.
_HEADER_WEIGHT = 50


@dataclass(frozen=True)
class BuildTree:
    """A build directory (kbuild's objtree) and the source tree that it is built from (srctree).

    ``repository`` is the git repository of the source tree, ``variant`` the kernel's. A build holds
    ``objtree_lock``; ``srctree_lock`` too, where several variants are built from one source tree,
    which moves from commit to commit: it is empty where there is one build only. ``checkout`` is
    the path of the checkout that it is a build of, or empty.
    """

    objtree: Path
    srctree: Path
    repository: Path
    variant: str
    objtree_lock: str
    srctree_lock: str = ""
    checkout: str = ""

    @contextmanager
    def held(self, store: Store, title: str) -> Iterator[None]:
        """Let nobody else build here or move the tree."""
        with ExitStack() as held:
            for name in filter(None, (self.srctree_lock, self.objtree_lock)):
                waiting = f"another driver building {title}"
                held.enter_context(store.lock_with_programs(name, waiting_for=waiting))
            yield

    def record(self) -> None:
        """Let later builds find this one."""
        text = json.dumps({name: str(value) for name, value in asdict(self).items()})
        write_atomically(self.objtree / _RECORD, text)


@contextmanager
def sibling(store: Store, new: BuildTree, commit: str) -> Iterator[BuildTree | None]:
    """The build to begin ``new`` with, where nobody builds; None if it exists or there is none.

    Its tree may be moved meanwhile, for another variant of it: see :func:`worktree.prepare`.

    Where the tree exists and the build directory does not, only a build of that very tree will do:
    of any other the times would mean nothing.
    """
    if any(_content(new.objtree)):
        yield None
        return
    with ExitStack() as held:
        for candidate in _candidates(new, commit):
            # Still usable, now that nobody else may change it?
            if _try_lock(held, store, candidate.objtree_lock) and is_usable(candidate):
                _log.info("starting with the objects of %s", candidate.objtree)
                yield candidate
                return
        _log.info("no earlier build to start with: everything is compiled")
        yield None


def forget_lost(store: Store, folder: Path) -> None:
    """Remove the builds below ``folder`` of checkouts that are no longer there."""
    for lost in _recorded(folder):
        if not lost.checkout or Path(lost.checkout).exists():
            continue
        locks = filter(None, (lost.srctree_lock, lost.objtree_lock))
        with ExitStack() as held:
            if all(_try_lock(held, store, name) for name in locks):
                shutil.rmtree(lost.objtree, ignore_errors=True)
                shutil.rmtree(lost.srctree, ignore_errors=True)


def forget_unused(tree: BuildTree) -> None:
    """Remove a work tree, held by the caller, of which nothing was built, to make it again.

    The driver that made it was interrupted before anything was copied; objects of a sibling would
    be of no use to it any more, since its files have other times.
    """
    used = any(other.srctree == tree.srctree for other in _recorded(tree.objtree.parent))
    if tree.srctree_lock and not used and not any(_content(tree.objtree)):
        shutil.rmtree(tree.srctree, ignore_errors=True)


def copy_objects(old: BuildTree, new: BuildTree) -> None:
    """Make the build directory of ``new`` a copy of that of ``old``."""
    partial = new.objtree.with_name(f".{new.objtree.name}.{os.getpid()}")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        run(["cp", "-a", "--reflink=auto", old.objtree, partial])
        (partial / _RECORD).unlink()
        _relocate(partial, {str(old.srctree): str(new.srctree), str(old.objtree): str(new.objtree)})
        shutil.rmtree(new.objtree, ignore_errors=True)
        partial.rename(new.objtree)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _candidates(new: BuildTree, commit: str) -> list[BuildTree]:
    """Finished builds of the same repository and variant, the nearest first."""
    found = []
    fresh = not new.srctree.exists()
    for other in _recorded(new.objtree.parent):
        alike = (other.repository, other.variant) == (new.repository, new.variant)
        if alike and is_usable(other) and (fresh or other.srctree == new.srctree):
            found.append((_distance(other.srctree, commit), other.objtree.name, other))
    return [other for _, _, other in sorted(found, key=lambda entry: entry[:2])]


def _recorded(folder: Path) -> Iterator[BuildTree]:
    """The builds whose directories are in a folder, as far as their records can be read."""
    for path in folder.glob(f"*/{_RECORD}"):
        try:
            recorded = json.loads(path.read_text(encoding="utf-8"))
            objtree, srctree, repository = (Path(recorded.pop(name)) for name in _FOLDERS)
            build = BuildTree(objtree, srctree, repository, **recorded)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        # A cache that was moved names places that are no longer there.
        if build.objtree == path.parent:
            yield build


def is_usable(tree: BuildTree) -> bool:
    """Whether a build can be copied: it is finished, and names no files in its objects."""
    if not (tree.objtree / VMLINUX).exists() or not tree.srctree.is_dir():
        return False
    config = (tree.objtree / ".config").read_text(encoding="utf-8")
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
