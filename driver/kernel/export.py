# SPDX-License-Identifier: Apache-2.0
"""Writing the commits of a checkout back as the patches of a series.

The same commits give the same bytes, no matter who exports them and however often, and the patches
give the same commits again: see :mod:`driver.kernel.commit_mails`.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from driver import tomlfile
from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.kernel import commit_mails
from driver.kernel import series as patch_series
from driver.kernel.checkout import Checkout, set_series
from driver.kernel.git import foreign_git
from driver.kernel.series import DEFAULT, NONE, SERIES_FILE, SERIES_NAME, SeriesFile
from driver.kernel.sources.cache import BASE
from driver.kernel.sources.source import base_of, kernel_version
from driver.process import explaining
from driver.project import Project
from driver.text import counted

_LIST = re.compile(r"^patches\s*=\s*\[[^\]]*\]", re.M)


@dataclass(frozen=True)
class Exported:
    """Names of files of the series' folder, by the change to them."""

    folder: Path
    written: tuple[str, ...]
    removed: tuple[str, ...]
    unchanged: tuple[str, ...]
    untracked: tuple[str, ...]


def export(project: Project, checkout: Checkout, name: str | None) -> Exported:
    """Make the series ``name`` (the checkout's own) hold exactly the commits since the base.

    Its folder is that of the base that the tree is of. Whatever else is in there stays: a cover
    letter (``0000-...``), Kconfig fragments. A series that does not exist yet for that base is
    made. Raises :class:`UserError` when the commits are not in a state
    to be exported, and then has written nothing.
    """
    tree = checkout.tree
    base = base_of(kernel_version(tree))
    name = _chosen(project, checkout, name, base)
    folder = project.patches / name / base
    untracked = _check_state(tree)
    with explaining(f"export the commits of {tree}"), commit_mails.borrowed(tree) as found:
        patches = commit_mails.exact(found)
        subjects = found.git("log", "--reverse", "--format=%s", f"{found.base}..{found.head}")
    if not patches:
        raise UserError(
            f"there is nothing to export: no commits since `{BASE}` in {tree}",
            hint=f"Commit your change first: {_git_in(tree)} commit -as",
        )
    written, removed = write(project, folder, patches, description=subjects.splitlines()[0])
    set_series(checkout, name)
    unchanged = [patch for patch in patches if patch not in written]
    return Exported(folder, tuple(written), tuple(removed), tuple(unchanged), tuple(untracked))


def write(
    project: Project, folder: Path, patches: Mapping[str, bytes], *, description: str
) -> tuple[list[str], list[str]]:
    """Make the folder of a series hold exactly these patches; what was written, what removed.

    ``description`` is for a series that exists for no base yet.
    """
    text = _series_text(project, folder, list(patches), description)
    before = _listed(folder)
    written = [
        patch
        for patch, content in patches.items()
        if not (folder / patch).is_file() or (folder / patch).read_bytes() != content
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for patch in written:
        write_atomically(folder / patch, patches[patch])
    listing = folder / SERIES_FILE
    if not listing.is_file() or listing.read_text(encoding="utf-8") != text:
        write_atomically(listing, text)
        written.append(SERIES_FILE)
    removed = [patch for patch in before if patch not in patches and (folder / patch).is_file()]
    for patch in removed:
        (folder / patch).unlink()
    patch_series.load(project, folder.parent.name, folder.name)
    return written, removed


def _chosen(project: Project, checkout: Checkout, name: str | None, base: str) -> str:
    chosen = checkout.series if name is None else name
    if chosen == NONE:
        raise UserError(
            f"{checkout.tree} has no series yet",
            hint="Name the new one: "
            f"driver patch export {shlex.quote(str(checkout.tree))} --series NAME",
        )
    if not re.fullmatch(SERIES_NAME, chosen) or chosen == DEFAULT:
        raise UserError(
            f"`{chosen}` cannot be the name of a series",
            hint=patch_series.NAME_HINT,
        )
    if chosen != checkout.series and base in patch_series.bases(project, chosen):
        raise UserError(
            f"there is a series {chosen} for Linux {base} already, and {checkout.tree} was not "
            "made from it",
            hint=f"Make a tree of that series: driver patch checkout --series {chosen} DIR",
        )
    return chosen


def _git_in(tree: Path) -> str:
    """The words of a shell that begin a git command in a tree, wherever it is typed."""
    return f"git -C {shlex.quote(str(tree))}"


def _check_state(tree: Path) -> list[str]:
    """Refuse whatever would be left out in silence; returns the files that git does not know."""
    status = foreign_git(tree, "status", "--porcelain", "--untracked-files=all").stdout
    changed = [line for line in status.splitlines() if not line.startswith("??")]
    under_way = [
        name
        for name in ("rebase-merge", "rebase-apply", "MERGE_HEAD", "CHERRY_PICK_HEAD")
        if (tree / ".git" / name).exists()
    ]
    if under_way:
        raise UserError(
            f"a rebase or merge is under way in {tree} ({under_way[0]})",
            hint=f"Finish it: {_git_in(tree)} status  # says how",
        )
    if changed:
        raise UserError(
            f"{tree} has changes that are in no commit: {counted(len(changed), 'file')}",
            excerpt="\n".join(changed[:12]),
            hint=f"Commit them, or stash them and export again: {_git_in(tree)} stash",
        )
    base = foreign_git(tree, "merge-base", "--is-ancestor", BASE, "HEAD", check=False)
    if base.status != 0:
        raise UserError(
            f"the tag `{BASE}` is not an ancestor of HEAD in {tree}",
            hint="Move the tag to where the series begins, or rebase onto it: "
            f"{_git_in(tree)} rebase {BASE}",
        )
    merges = foreign_git(tree, "rev-list", "--min-parents=2", f"{BASE}..HEAD").stdout.split()
    if merges:
        raise UserError(
            f"{tree} has {counted(len(merges), 'merge')} since `{BASE}`, and a series has none",
            excerpt="\n".join(merges),
            hint=f"Rebase the commits into one line: {_git_in(tree)} rebase {BASE}",
        )
    return [line[3:] for line in status.splitlines() if line.startswith("??")]


def _listed(folder: Path) -> list[str]:
    try:
        return list(tomlfile.read(folder / SERIES_FILE, SeriesFile).patches)
    except FileNotFoundError:
        return []


def _series_text(project: Project, folder: Path, patches: Sequence[str], description: str) -> str:
    """series.toml with this list of patches, and everything else in it as a person wrote it.

    A series that exists for another base has its name and description from there.
    """
    listing = "patches = [\n" + "".join(f'    "{patch}",\n' for patch in patches) + "]"
    path = folder / SERIES_FILE
    if not path.is_file():
        series = folder.parent.name
        others = patch_series.bases(project, series)
        if others:
            other = tomlfile.read(folder.parent / others[-1] / SERIES_FILE, SeriesFile)
            title, description = other.name, other.description
        else:
            title = series
        quoted = description.replace("\\", "\\\\").replace('"', '\\"')
        return f'name = "{title}"\ndescription = "{quoted}"\n{listing}\n'
    tomlfile.read(path, SeriesFile)  # says what is wrong with it, and where
    text = path.read_text(encoding="utf-8-sig")
    new, found = _LIST.subn(lambda _match: listing, text, count=1)
    if found != 1 or _without_patches(new) != _without_patches(text):
        raise UserError(
            f"cannot replace the list of patches in {path}",
            hint='Write it as `patches = ["0001-....patch", ...]`, without "]" inside.',
        )
    return new


def _without_patches(text: str) -> Mapping[str, object] | None:
    """The other keys of a series.toml; None if the text is not one."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return {key: value for key, value in content.items() if key != "patches"}
