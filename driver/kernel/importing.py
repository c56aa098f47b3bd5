# SPDX-License-Identifier: Apache-2.0
"""A series that somebody posted, as a series of the project.

The mails are applied to a source, as ``git am`` would, and exported from there: what the project
keeps are the commits, in the same form as those of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.kernel import commit_mails, git_am, mailbox, worktree
from driver.kernel import series as patch_series
from driver.kernel.export import write
from driver.kernel.git import git
from driver.kernel.sources.source import KernelSource, base_of, debian_base
from driver.kernel.sources.spec import obtain
from driver.process import explaining
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store

COVER = "0000-cover-letter.txt"


@dataclass(frozen=True)
class Imported:
    """A series that is new in the project, and the source to which its patches were applied."""

    name: str
    folder: Path
    patches: tuple[str, ...]
    source: str


def import_mails(
    store: Store,
    project: Project,
    path: Path,
    *,
    name: str | None,
    base: str | None,
    reporter: Reporter,
) -> Imported:
    """Make a series of the mails in a file or directory; ``base`` is the source they apply to.

    Its name is by default that of its subject. Raises :class:`UserError`, and writes nothing, if
    the mails are no whole series, do not apply, or the project has such a series.
    """
    posting = mailbox.read(path)
    chosen = name or _slug(posting.title)
    wanted = debian_base(base) or patch_series.default_base(project)
    if base is None or debian_base(base):  # known before anything is fetched
        patch_series.check_new_name(project, chosen, wanted)
    source = obtain(store, base, wanted, reporter)
    version = base_of(source.version)
    patch_series.check_new_name(project, chosen, version)
    if not source.pristine:
        raise UserError(
            f"the patches cannot be applied to {source.label}: the driver writes to "
            "no tree of yours",
            hint="Apply them there yourself (git am), or name a version: --base 6.12",
        )
    patches = _applied(store, source, posting, reporter)
    cover = posting.cover
    folder = project.patches / chosen / version
    write(project, folder, patches, description=posting.title)
    if cover is not None:
        text = f"Subject: {cover.subject}\n\n{cover.text.strip()}\n"
        (folder / COVER).write_text(text, encoding="utf-8")
    return Imported(chosen, folder, tuple(patches), source.label)


def _applied(
    store: Store, source: KernelSource, posting: mailbox.Posting, reporter: Reporter
) -> dict[str, bytes]:
    """The patches as the driver writes them, by file name."""
    start = git(source.tree, "rev-parse", source.commit).stdout.strip()
    with (
        explaining(f"apply `{posting.title}` to {source.label}"),
        worktree.locked(store, source),
        git_am.bare_tree(source.tree, start, near=source.tree.parent) as tree,
    ):
        reporter.step(f"Applying `{posting.title}` to {source.label}")
        for number, mail in enumerate(posting.patches, start=1):
            git_am.check_message(mail.subject, mail.content)
            done = git_am.am(tree, f"{number:04}.mail", mail.content)
            if done.status != 0:
                rejection = git_am.explain_rejection(mail.text, done.stdout + done.stderr)
                raise UserError(
                    f"patch {number}, `{mail.subject}`, does not apply to {source.label}: "
                    f"{rejection.summary}",
                    excerpt=rejection.excerpt,
                    hint="Name the version that it was made for with --base, or resolve the "
                    "conflicts in a tree of your own: driver patch checkout DIR --series none",
                )
            reporter.progress(number, len(posting.patches), mail.subject)
        head = git(tree, "rev-parse", "HEAD").stdout.strip()
        with commit_mails.borrowed(source.tree, start, head) as found:
            return commit_mails.exact(found, reword="Change the mail, and import it again.")


def _slug(title: str) -> str:
    """A name for a series that is about ``title``: its words, as many as fit."""
    words = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return words[:32].rpartition("-")[0] or words[:32] if len(words) > 32 else words or "imported"
