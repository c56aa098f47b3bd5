# SPDX-License-Identifier: Apache-2.0
"""A source with a series applied, as a tree that can be built.

The patches are applied in a throw-away work tree that holds only the files they touch. The tree
that is built then moves from its old commit to the new one, and git rewrites just the files
that differ: what an edited patch did not change keeps its time stamp, so that make rebuilds
little, and a patch that does not apply leaves the tree as it was.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.kernel import git_am
from driver.kernel.git import git
from driver.kernel.series import Patch, PatchSeries
from driver.kernel.sources.source import KernelSource
from driver.process import explaining
from driver.progress import Reporter
from driver.store import Store

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WorkTree:
    """A tree to build and the commit it stands at (empty for a tree of the user's)."""

    path: Path
    commit: str


def place(store: Store, source: KernelSource, series: PatchSeries) -> Path:
    """Where the work tree of (source, series) is; it need not exist."""
    if not source.commit or (source.pristine and not series.patches):
        return source.tree
    return store.scratch("kernel-tree") / f"{source.place}-{series.name}"


def apply(store: Store, source: KernelSource, series: PatchSeries, reporter: Reporter) -> str:
    """The commit that is the source with the series on it.

    Raises :class:`UserError` naming the patch, the file and the hunk when a patch does not apply.
    """
    start = git(source.tree, "rev-parse", source.commit).stdout.strip()
    if not (source.pristine and series.patches):
        return start
    with locked(store, source):
        reporter.step(f"Applying series {series.name}")
        with (
            explaining(f"apply series {series.name} to {source.label}"),
            git_am.bare_tree(source.tree, start, near=source.tree.parent) as tree,
        ):
            for number, patch in enumerate(series.patches, start=1):
                _apply_one(tree, patch, source, series)
                reporter.progress(number, len(series.patches), patch.name)
            return git(tree, "rev-parse", "HEAD").stdout.strip()


def prepare(
    store: Store,
    source: KernelSource,
    series: PatchSeries,
    commit: str,
    reporter: Reporter,
    *,
    like: Path | None = None,
) -> WorkTree:
    """Bring the work tree of (source, series) to a commit; a new one begins as one ``like``.

    The caller holds the lock of whatever is built from it, and of what was built from ``like``.
    That tree stays where it is as long as this one is made: trees move one at a time.
    """
    path = place(store, source, series)
    with (
        locked(store, source),
        explaining(f"check out {source.label} for series {series.name} in {path}"),
    ):
        if path != source.tree and not is_work_tree(path, source):
            reporter.step(f"Checking out {source.label} for series {series.name}")
            add(source, path, commit, like=like)
        move_to(path, commit)
    return WorkTree(path, commit)


def add(source: KernelSource, path: Path, commit: str, *, like: Path | None = None) -> None:
    """Make a work tree of a source at a commit.

    With ``like``, another work tree of it, the files are that tree's own, under second names, with
    their times: only what differs is written, and make finds the rest as old as it was. Safe,
    because git replaces files and does not write into them, and kbuild writes none.
    """
    shutil.rmtree(path, ignore_errors=True)
    git(source.tree, "worktree", "prune")
    shape = ("--force", "--detach", *(("--no-checkout",) if like else ()))
    git(source.tree, "worktree", "add", *shape, path, commit)
    if like is None:
        return
    # A second name changes a file's ctime, by which git would take it for another file.
    git(source.tree, "config", "core.trustctime", "false")
    for folder, names, files in os.walk(like):
        here = path / Path(folder).relative_to(like)
        if here == path:
            names[:] = [name for name in names if name != ".git"]
            files = [name for name in files if name != ".git"]  # noqa: PLW2901
        here.mkdir(exist_ok=True)
        for name in files:
            os.link(Path(folder, name), here / name, follow_symlinks=False)
    shutil.copyfile(_index(like), _index(path))
    move_to(path, commit)


def remove(source: KernelSource, path: Path) -> None:
    """Take a work tree away."""
    git(source.tree, "worktree", "remove", "--force", path, check=False)


def move_to(tree: Path, commit: str) -> None:
    """Make the tree exactly ``commit``, touching only the files that differ from it.

    What is written is newer than any object made before: make takes a source as old as its object
    for compiled, and a file system's clock may stand still for as long as a small build takes.
    """
    await_tick(tree)
    git(tree, "checkout", "--quiet", "--force", "--detach", commit)
    git(tree, "clean", "--quiet", "-ffdx")


def await_tick(folder: Path) -> None:
    """Return when a file written in ``folder`` gets a later time than one written on entry.

    The time stamps of ext4 and XFS step with the kernel's timer, every 1 to 10 ms; those of some
    network file systems every second.
    """
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".tick-") as probe:
        clock = Path(probe.name)
        started = clock.stat().st_mtime_ns
        while clock.stat().st_mtime_ns <= started:
            time.sleep(0.001)
            clock.touch()


def is_work_tree(path: Path, source: KernelSource) -> bool:
    """Whether ``path`` is a living work tree of the source (a moved cache breaks the link)."""
    if not (path / ".git").is_file():
        return False
    common = git(path, "rev-parse", "--path-format=absolute", "--git-common-dir", check=False)
    return common.status == 0 and Path(common.stdout.strip()).resolve() == source.tree / ".git"


@contextmanager
def locked(store: Store, source: KernelSource) -> Iterator[None]:
    """Held while work trees of a source are made or moved."""
    name = f"worktrees-{source.tree.parent.name}"
    with store.lock_with_programs(name, waiting_for="another driver applying patches"):
        if source.tree.is_relative_to(store.root.resolve()):
            _remove_stale_locks(source.tree / ".git")
        yield


def _remove_stale_locks(repository: Path) -> None:
    """Remove the lock files of a git that was killed; nobody else uses git here now.

    The next git would fail with "Unable to create index.lock: File exists".
    """
    for pattern in ("*.lock", "worktrees/*/*.lock", "refs/heads/*.lock"):
        for path in repository.glob(pattern):
            _log.info("%s was left by a git that was killed", path)
            path.unlink()


def _index(tree: Path) -> Path:
    return Path(git(tree, "rev-parse", "--path-format=absolute", "--git-path", "index").stdout[:-1])


def _apply_one(tree: Path, patch: Patch, source: KernelSource, series: PatchSeries) -> None:
    git_am.check_message(patch.name, patch.content)
    done = git_am.am(tree, patch.name, patch.content)
    if done.status == 0:
        return
    text = patch.content.decode("utf-8", errors="surrogateescape")
    rejection = git_am.explain_rejection(text, done.stdout + done.stderr)
    raise UserError(
        f"{patch.name} of series {series.name} does not apply to {source.label}: "
        f"{rejection.summary}",
        excerpt=rejection.excerpt,
        hint=f"Rebase the series onto Linux {source.version} in a tree of it and export that, or "
        "build the kernel unpatched: --series none",
    )
