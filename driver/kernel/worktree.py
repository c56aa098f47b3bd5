# SPDX-License-Identifier: Apache-2.0
"""A source with a series applied, as a tree that can be built.

The patches are applied in a throw-away sparse work tree that holds only the files they touch. The
tree that is built then moves from its old commit to the new one, and git rewrites just the files
that differ: what an edited patch did not change keeps its time stamp, so that make rebuilds
little, and a patch that does not apply leaves the tree as it was.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.kernel.git import git
from driver.kernel.series import Patch, PatchSeries
from driver.kernel.sources.source import KernelSource
from driver.progress import Reporter
from driver.store import Store

_FAILED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.M)
_OTHER = re.compile(r"^(?:error|fatal): (?P<text>.+)$", re.M)
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_EXCERPT_LINES = 24
_TOUCHED = re.compile(rb"^(?:---|\+\+\+) [ab]/(.+?)\t?$|^rename from (.+)$", re.M)


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
    with _locked(store, source):
        reporter.step(f"applying series {series.name}")
        with _sparse_tree(source, start, series.patches) as tree:
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
    with _locked(store, source):
        if path != source.tree and not is_work_tree(path, source):
            reporter.step(f"checking out {source.label} for series {series.name}")
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


def _locked(store: Store, source: KernelSource) -> AbstractContextManager[None]:
    repository = source.tree.parent.name
    return store.lock(f"worktrees-{repository}", waiting_for="another driver applying patches")


def _index(tree: Path) -> Path:
    return Path(git(tree, "rev-parse", "--path-format=absolute", "--git-path", "index").stdout[:-1])


def _apply_one(tree: Path, patch: Patch, source: KernelSource, series: PatchSeries) -> None:
    text = patch.content.decode("utf-8", errors="surrogateescape")
    mail = tree.parent / patch.name
    mail.write_bytes(patch.content)
    # The mail's author is kept; the committer is fixed and its date is the author's, so that the
    # same patches always give the same commit ids.
    options = ("--committer-date-is-author-date", "--no-gpg-sign", "--keep-non-patch", "--quiet")
    done = git(
        tree,
        *("-c", "core.hooksPath=/dev/null", "am", *options, mail),
        check=False,
        env={"GIT_AUTHOR_NAME": None, "GIT_AUTHOR_EMAIL": None, "GIT_AUTHOR_DATE": None},
    )
    if done.status == 0:
        return
    rejection = explain_rejection(text, done.stdout + done.stderr)
    raise UserError(
        f"{patch.name} of series {series.name} does not apply to {source.label}: "
        f"{rejection.summary}",
        excerpt=rejection.excerpt,
        hint=f"Rebase the series onto Linux {source.version} and export it again "
        "with git format-patch, or build the kernel as it is with --series none.",
    )


@contextmanager
def _sparse_tree(source: KernelSource, base: str, patches: tuple[Patch, ...]) -> Iterator[Path]:
    """A work tree at ``base`` with only the files that the patches name."""
    with tempfile.TemporaryDirectory(prefix="am-", dir=source.tree.parent) as folder:
        tree = Path(folder) / "tree"
        git(source.tree, "worktree", "add", "--quiet", "--no-checkout", "--detach", tree, base)
        try:
            git(
                tree, "sparse-checkout", "set", "--no-cone", "--stdin",
                stdin="".join(f"/{name}\n" for name in sorted(_touched(patches))),
            )  # fmt: skip
            git(tree, "checkout", "--quiet", "--detach", base)
            yield tree
        finally:
            git(source.tree, "worktree", "remove", "--force", tree, check=False)


def _touched(patches: tuple[Patch, ...]) -> set[str]:
    found = (match for patch in patches for match in _TOUCHED.finditer(patch.content))
    return {(match[1] or match[2]).decode("utf-8", errors="surrogateescape") for match in found}


@dataclass(frozen=True)
class Rejection:
    """``summary`` ends a sentence; ``excerpt`` is the rejected hunk, or git's own words."""

    summary: str
    excerpt: str


@dataclass(frozen=True)
class _Hunk:
    file: str
    number: int  # from 1, within its file
    start: int  # first line of the old file
    lines: tuple[str, ...]


def explain_rejection(patch: str, output: str) -> Rejection:
    """Match the output of a failed ``git am`` with the mail it was given."""
    failures = list(_FAILED.finditer(output))
    complaints = [match["text"] for match in _OTHER.finditer(output)]
    if not failures:
        return Rejection("; ".join(complaints[:2]) or "git am failed", output.strip())
    first = failures[0]
    summary = first["file"]
    excerpt = output.strip()
    for hunk in _hunks(patch):
        if hunk.file == first["file"] and hunk.start == int(first["line"]):
            summary = f"{hunk.file}, hunk {hunk.number} (line {hunk.start})"
            excerpt = _cut(hunk.lines)
            break
    others = sorted({match["file"] for match in failures} - {first["file"]})
    return Rejection(summary + (f"; also {', '.join(others)}" if others else ""), excerpt)


def _hunks(patch: str) -> Iterator[_Hunk]:
    file, number = "", 0
    lines: list[str] = []
    start = 0
    for line in [*patch.splitlines(), "diff --git end"]:
        match = _HUNK.match(line)
        if lines and (match or line == "-- " or line.startswith("diff --git ")):
            yield _Hunk(file, number, start, tuple(lines))
            lines = []
        if match:
            number, start = number + 1, int(match[1])
            lines = [line]
        elif lines:
            lines.append(line)
        elif line.startswith("--- a/"):
            file, number = line.removeprefix("--- a/"), 0
        elif line.startswith("+++ b/"):
            file = line.removeprefix("+++ b/")


def _cut(lines: tuple[str, ...]) -> str:
    if len(lines) <= _EXCERPT_LINES:
        return "\n".join(lines)
    left_out = len(lines) - _EXCERPT_LINES
    return "\n".join([*lines[:_EXCERPT_LINES], f"... and {left_out} more lines"])
