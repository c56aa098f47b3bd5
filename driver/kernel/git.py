# SPDX-License-Identifier: Apache-2.0
"""Git as a tool of ours: the same result for every user and directory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from driver.process import Completed, output_of, run

# Git run from a hook or an alias finds these set and would act on that repository, not on ours.
_CALLER: dict[str, str | None] = dict.fromkeys(
    (
        "GIT_DIR",
        "GIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_OBJECT_DIRECTORY",
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_COMMON_DIR",
        "GIT_NAMESPACE",
        "GIT_PREFIX",
    )
)
# Identity and date are inputs of a commit id, and commit ids are provenance: fix them.
IDENTITY = "driver"
EMAIL = "driver@localhost"
DATE = "@0 +0000"
_OURS: dict[str, str | None] = {
    **_CALLER,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": IDENTITY,
    "GIT_AUTHOR_EMAIL": EMAIL,
    "GIT_AUTHOR_DATE": DATE,
    "GIT_COMMITTER_NAME": IDENTITY,
    "GIT_COMMITTER_EMAIL": EMAIL,
    "GIT_COMMITTER_DATE": DATE,
    "LC_ALL": "C",
}


def git(
    tree: Path,
    *arguments: str | Path,
    stdin: str | None = None,
    check: bool = True,
    env: Mapping[str, str | None] | None = None,
) -> Completed:
    """Run git in ``tree``, a repository of ours, deaf to the user's configuration."""
    return run(
        ["git", "-C", tree, *arguments], stdin=stdin, check=check, env={**_OURS, **(env or {})}
    )


def git_bytes(tree: Path, *arguments: str | Path) -> bytes:
    """What git prints in ``tree``, a repository of ours, where every byte counts."""
    return output_of(["git", "-C", tree, *arguments], env=_OURS)


def foreign_git(
    tree: Path,
    *arguments: str | Path,
    check: bool = True,
    index: Path | None = None,
    objects: Path | None = None,
) -> Completed:
    """Run git in a tree of the user's: their configuration holds.

    ``index`` is used in place of the tree's own, which even ``git diff`` would refresh, that is
    rewrite. ``objects`` is where objects are read and written in place of the tree's own.
    """
    ours = {"GIT_INDEX_FILE": index, "GIT_OBJECT_DIRECTORY": objects}
    return run(
        ["git", "-C", tree, *arguments],
        check=check,
        env={**_CALLER, "LC_ALL": "C", **{name: str(path) for name, path in ours.items() if path}},
    )
