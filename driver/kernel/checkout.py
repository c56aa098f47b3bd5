# SPDX-License-Identifier: Apache-2.0
"""A git tree for a person to work in: a kernel source with a series as commits on it.

It is a clone of its own, which survives the cache. Its git configuration says what it was
made of (``driver.series``, ``driver.source``, ``driver.project``), and the tag ``base`` marks the
source: ``git log base..`` is the series.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.kernel.git import foreign_git, git
from driver.kernel.series import NONE, PatchSeries
from driver.kernel.sources.cache import BASE
from driver.kernel.sources.source import KernelSource
from driver.kernel.worktree import apply
from driver.project import Project
from driver.report import Reporter
from driver.store import Store


@dataclass(frozen=True)
class Checkout:
    """``series`` is a folder of ``kernel-patches/`` or none; ``source`` names one in the cache."""

    tree: Path
    series: str
    source: str
    project: Path


def find(tree: Path) -> Checkout | None:
    """The checkout at ``tree``; None if ``driver patch checkout`` did not make it."""
    if not (tree / ".git").is_dir():
        return None
    told = foreign_git(tree, "config", "--local", "--get-regexp", r"^driver\.", check=False)
    values = dict(line.split(" ", 1) for line in told.stdout.splitlines() if " " in line)
    if not {"driver.series", "driver.source", "driver.project"} <= values.keys():
        return None
    return Checkout(
        tree=tree,
        series=values["driver.series"],
        source=values["driver.source"],
        project=Path(values["driver.project"]),
    )


def enclosing(start: Path) -> Checkout | None:
    """The checkout that ``start`` is in, or None."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".git").exists():
            return find(folder)
    return None


def set_series(checkout: Checkout, series: str) -> None:
    """Remember that the checkout is now that series."""
    foreign_git(checkout.tree, "config", "--local", "driver.series", series)


def make(
    store: Store,
    project: Project,
    *,
    series: PatchSeries,
    source: KernelSource,
    folder: Path,
    reporter: Reporter,
) -> Checkout:
    """Make the tree ``folder``; it appears complete or not at all.

    Raises :class:`UserError` when there is something already or the series does not apply.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(
            f"{folder} exists and is not empty",
            hint="Name another directory, or remove it: commits that were not exported are lost.",
        )
    if not folder.parent.is_dir():
        raise UserError(f"the directory {folder.parent} does not exist")
    series.check_base(source)
    commit = apply(store, source, series, reporter)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    reporter.step(f"checking out {source.label} with series {series.name} in {folder}")
    try:
        git(source.tree, "clone", "--quiet", "--local", "--no-checkout", source.tree, partial)
        _furnish(partial, Checkout(folder, series.name, source.tree.parent.name, project.root))
        branch = series.title or "work"
        git(partial, "checkout", "--quiet", "--no-track", "-B", branch, commit)
        if branch != BASE:
            git(partial, "branch", "--quiet", "-D", BASE)
        if folder.is_dir():
            folder.rmdir()
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    made = find(folder)
    assert made is not None
    return made


def _furnish(tree: Path, made: Checkout) -> None:
    """Mark the base and leave nothing behind that leads into the cache."""
    git(tree, "tag", BASE, f"refs/remotes/origin/{BASE}")
    git(tree, "remote", "remove", "origin")
    git(tree, "config", "core.autocrlf", "false")
    git(tree, "config", "driver.series", made.series)
    git(tree, "config", "driver.source", made.source)
    git(tree, "config", "driver.project", made.project)


def default_folder(series: PatchSeries) -> str:
    """What a checkout is called if nobody says."""
    return "linux" if series.name == NONE else f"linux-{series.name}"
