# SPDX-License-Identifier: Apache-2.0
"""A kernel tree of the user's: read, identified, built out of tree, never written to."""

from __future__ import annotations

import contextlib
import hashlib
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from driver.errors import UserError
from driver.kernel.git import foreign_git
from driver.kernel.sources.source import SPECS, KernelSource, kernel_version
from driver.process import explaining
from driver.store import digest_of, file_digest, tree_digest

# What a build inside the tree leaves behind; kbuild then refuses to build outside of it.
_IN_TREE_BUILD = (".config", "include/config", "arch/x86/include/generated")


def obtain(tree: Path) -> KernelSource:
    """The tree at ``tree`` as it is now, uncommitted changes included.

    Raises :class:`UserError` when it is no kernel tree or was built in place.
    """
    version = check(tree)
    with explaining(f"find out what {tree} holds"):
        identity, origin = _git_identity(tree) if _is_git_root(tree) else _plain_identity(tree)
    return KernelSource(
        tree=tree,
        identity=identity,
        version=version,
        label=f"{tree} ({version})",
        pristine=False,
        place=f"tree-{digest_of(str(tree))[:12]}",
        origin={"kind": "directory", "path": str(tree), **origin},
    )


def check(tree: Path) -> str:
    """The version of a tree that can be built; :class:`UserError` for one that cannot."""
    if not tree.is_dir():
        raise UserError(
            f"the source directory {tree} does not exist",
            hint=SPECS,
        )
    version = kernel_version(tree)
    for leftover in _IN_TREE_BUILD:
        if (tree / leftover).exists():
            raise UserError(
                f"{tree} was built in place ({leftover} exists): kbuild cannot build out of it",
                hint="Save your .config if you need it, then run: "
                f"make -C {shlex.quote(str(tree))} mrproper",
            )
    return version


def _is_git_root(tree: Path) -> bool:
    """Whether the tree is a work tree itself; inside someone else's, git knows nothing of it."""
    if not (tree / ".git").exists():
        return False
    top = foreign_git(tree, "rev-parse", "--show-toplevel", check=False)
    has_commit = foreign_git(tree, "rev-parse", "--verify", "--quiet", "HEAD", check=False)
    if top.status != 0:  # "dubious ownership" and such: git says what to do about it
        raise UserError(
            f"git cannot read {tree}",
            hint="Do what git says, or remove .git there: a tree without it is read file by file.",
            excerpt=top.stderr.strip(),
        )
    return has_commit.status == 0 and Path(top.stdout.strip()).resolve() == tree


def _git_identity(tree: Path) -> tuple[str, dict[str, object]]:
    head = foreign_git(tree, "rev-parse", "HEAD", "HEAD^{tree}").stdout.split()
    plain = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--full-index")
    with index_copy(tree) as index:
        diff = foreign_git(tree, "diff", *plain, "--binary", "HEAD", index=index).stdout
        others = ("ls-files", "--others", "--exclude-standard", "-z")
        listing = foreign_git(tree, *others, index=index).stdout
    untracked = [name for name in listing.split("\0") if name]
    origin: dict[str, object] = {"commit": head[0], "uncommitted": bool(diff or untracked)}
    if not diff and not untracked:
        return f"tree:{head[1]}", origin
    extra = digest_of(
        {
            "diff": hashlib.sha256(diff.encode()).hexdigest(),
            "untracked": {name: _file_identity(tree / name) for name in untracked},
        }
    )
    return f"tree:{head[1]}+changes:{extra}", origin


@contextmanager
def index_copy(tree: Path) -> Iterator[Path]:
    """A copy of a tree's index, so that git's looking at the tree does not change it."""
    own = foreign_git(tree, "rev-parse", "--path-format=absolute", "--git-path", "index")
    with tempfile.TemporaryDirectory(prefix="driver-index-") as folder:
        copy = Path(folder) / "index"
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(own.stdout.strip(), copy)
        yield copy


def _file_identity(path: Path) -> str:
    return f"link:{path.readlink()}" if path.is_symlink() else file_digest(path)


def _plain_identity(tree: Path) -> tuple[str, dict[str, object]]:
    """Without git every file must be read: some seconds for a whole kernel."""
    return f"files:{tree_digest(tree)}", {}
