# SPDX-License-Identifier: Apache-2.0
"""Making a checkout: a clone of a source, which survives the cache, with a series on it."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from driver.errors import UserError
from driver.kernel.checkout import Checkout, find
from driver.kernel.commit_mails import add_note
from driver.kernel.git import git
from driver.kernel.series import NONE, PatchSeries, default_series, fitting, load
from driver.kernel.sources.cache import BASE
from driver.kernel.sources.source import KernelSource, debian_base, is_directory_spec
from driver.kernel.sources.spec import obtain
from driver.kernel.worktree import apply
from driver.process import explaining
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store


def choose(
    store: Store, project: Project, *, series: str | None, base: str | None, reporter: Reporter
) -> tuple[PatchSeries, KernelSource]:
    """The series (the project's default) and the source for a checkout.

    ``base`` is a version ("6.12": its newest Debian package), another source that patches may be
    applied to, or None for the newest base of the series.
    """
    spec = f"debian:{base}" if base is not None and is_directory_spec(base) else base
    name = default_series(None) if series is None else series
    named = load(project, name, debian_base(spec))
    source = obtain(store, spec, named.base, reporter)
    return fitting(project, named, source), source


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
            f"{folder} cannot be created: it exists and is not an empty directory",
            hint="Name another directory, or remove it: commits that were not exported are lost.",
        )
    if not folder.parent.is_dir():
        raise UserError(
            f"{folder} cannot be created: the directory {folder.parent} does not exist",
            hint=f"Create it first: mkdir -p {shlex.quote(str(folder.parent))}",
        )
    series.check_base(source)
    commit = apply(store, source, series, reporter)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}")
    reporter.step(f"Checking out {source.label} with series {series.name} in {folder}")
    try:
        with explaining(f"make the checkout {folder}"):
            git(source.tree, "clone", "--quiet", "--local", "--no-checkout", source.tree, partial)
            _furnish(partial, Checkout(folder, series.name, source.tree.parent.name, project.root))
            branch = series.title or "work"
            git(partial, "checkout", "--quiet", "--no-track", "-B", branch, commit)
            if branch != BASE:
                git(partial, "branch", "--quiet", "-D", BASE)
            commits = git(partial, "rev-list", "--reverse", f"{BASE}..{commit}").stdout.split()
            for one, patch in zip(commits, series.patches, strict=True):
                add_note(partial, one, patch.content)
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
