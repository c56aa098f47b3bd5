# SPDX-License-Identifier: Apache-2.0
"""What a person has made of a checkout, recorded in the repository of its source.

A tree that ``driver patch checkout`` made comes from a source in the cache. Its present content,
uncommitted changes and new files included, is recorded there as a git tree, and a work tree in the
cache is moved to it. So the first build of a checkout compiles only what differs from a kernel
that has been built before (see :mod:`driver.kernel.build_reuse`), an edit during a build cannot get
into it, and a build inside the checkout is in nobody's way. Nothing is written to the checkout.
"""

from __future__ import annotations

from pathlib import Path

from driver.kernel import checkout
from driver.kernel.checkout import Checkout
from driver.kernel.git import foreign_git, git
from driver.kernel.sources import cache, directory
from driver.kernel.sources.source import KernelSource, kernel_version
from driver.process import explaining
from driver.store import Store, digest_of


def obtain(store: Store, tree: Path) -> KernelSource | None:
    """The checkout at ``tree`` as is; None if it is none, or its source is not cached."""
    found = checkout.find(tree)
    base = cache.find(store, found.source) if found else None
    if found is None or base is None:
        return None
    with explaining(f"record what {tree} holds"):
        return _source(base, found, tree)


def _source(base: KernelSource, found: Checkout, tree: Path) -> KernelSource:
    head = foreign_git(tree, "rev-parse", "HEAD").stdout.strip()
    git(base.tree, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", tree, head)
    content = _record(base, tree)
    committed = git(base.tree, "rev-parse", f"{head}^{{tree}}").stdout.strip()
    version = kernel_version(tree)
    return KernelSource(
        tree=base.tree,
        identity=f"tree:{content}",
        version=version,
        label=f"{tree} ({version})",
        pristine=False,
        place=f"{base.place}-checkout-{digest_of(str(tree))[:12]}",
        # Only a commit can be checked out; the id of this one depends on nothing but the content.
        commit=git(base.tree, "commit-tree", content, "-m", "snapshot").stdout.strip(),
        origin={
            "kind": "checkout",
            "path": str(tree),
            "series": found.series,
            "base": {**base.origin},
            "commit": head,
            "uncommitted": content != committed,
        },
    )


def _record(base: KernelSource, tree: Path) -> str:
    """The id of the git tree that holds what is in ``tree`` and not ignored there.

    Made with a copy of the checkout's index, so that only what changed is read, and with the
    source's repository as the place for new objects.
    """
    with directory.index_copy(tree) as index:
        objects = base.tree / ".git/objects"
        # What was staged is in the checkout's objects only; back to HEAD, it is read again.
        foreign_git(tree, "read-tree", "--reset", "HEAD", index=index, objects=objects)
        foreign_git(tree, "add", "--all", index=index, objects=objects)
        return foreign_git(tree, "write-tree", index=index, objects=objects).stdout.strip()
