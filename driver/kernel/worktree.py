# SPDX-License-Identifier: Apache-2.0
"""A source with a series applied, as a tree that can be built.

The patches are applied in a throw-away sparse work tree that holds only the files they touch. The
tree that is built then moves from its old commit to the new one, and git rewrites just the files
that differ: what an edited patch did not change keeps its time stamp, so that make rebuilds
little, and a patch that does not apply leaves the tree as it was.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.kernel.git import git
from driver.kernel.rejection import explain
from driver.kernel.series import Patch, Series
from driver.kernel.source import Source
from driver.report import Reporter
from driver.store import Store

_TOUCHED = re.compile(rb"^(?:---|\+\+\+) [ab]/(.+?)\t?$|^rename from (.+)$", re.M)


@dataclass(frozen=True)
class WorkTree:
    """A tree to build and the commit it stands at (empty for a tree of the user's)."""

    path: Path
    commit: str


def prepare(store: Store, source: Source, series: Series, reporter: Reporter) -> WorkTree:
    """Bring the work tree of (source, series) up to date.

    The caller holds the lock of whatever is built from it. Raises :class:`UserError` naming the
    patch, the file and the hunk when a patch does not apply.
    """
    if not source.pristine:
        return WorkTree(source.tree, "")
    with store.lock(f"worktrees-{source.key}", waiting_for="another driver applying patches"):
        base = git(source.tree, "rev-parse", "base").stdout.strip()
        if not series.patches:
            _move_to(source.tree, base)
            return WorkTree(source.tree, base)
        commit = _apply(source, base, series, reporter)
        path = store.scratch("kernel-tree") / f"{source.key}-{series.name}"
        if not _is_ours(path, source):
            shutil.rmtree(path, ignore_errors=True)
            reporter.step(f"checking out {source.label} for series {series.name}")
            git(source.tree, "worktree", "prune")
            git(source.tree, "worktree", "add", "--force", "--detach", path, commit)
        _move_to(path, commit)
    return WorkTree(path, commit)


def _apply(source: Source, base: str, series: Series, reporter: Reporter) -> str:
    reporter.step(f"applying series {series.name}")
    with _sparse_tree(source, base, series.patches) as tree:
        for number, patch in enumerate(series.patches, start=1):
            _apply_one(tree, patch, source, series)
            reporter.progress(number, len(series.patches), patch.name)
        return git(tree, "rev-parse", "HEAD").stdout.strip()


def _apply_one(tree: Path, patch: Patch, source: Source, series: Series) -> None:
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
    rejection = explain(text, done.stdout + done.stderr)
    raise UserError(
        f"{patch.name} of series {series.name} does not apply to {source.label}: "
        f"{rejection.summary}",
        excerpt=rejection.excerpt,
        hint=f"Rebase the series onto Linux {source.version} and export it again "
        "with git format-patch, or build the kernel as it is with --series none.",
    )


@contextmanager
def _sparse_tree(source: Source, base: str, patches: tuple[Patch, ...]) -> Iterator[Path]:
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


def _is_ours(path: Path, source: Source) -> bool:
    """Whether ``path`` is a living work tree of the source (a moved cache breaks the link)."""
    if not (path / ".git").is_file():
        return False
    common = git(path, "rev-parse", "--path-format=absolute", "--git-common-dir", check=False)
    return common.status == 0 and Path(common.stdout.strip()).resolve() == source.tree / ".git"


def _move_to(tree: Path, commit: str) -> None:
    """Make the tree exactly ``commit``, touching only the files that differ from it."""
    git(tree, "checkout", "--quiet", "--force", "--detach", commit)
    git(tree, "clean", "--quiet", "-ffdx")
