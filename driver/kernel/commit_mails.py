# SPDX-License-Identifier: Apache-2.0
"""Commits as mails, of which ``git am`` makes the same commits again.

The same commits give the same bytes: no commit ids, no version of git, no "2/13" that moves when a
patch is added, and object ids of a fixed length. Not every commit can be a mail. A line ``---``
ends its message, a line ``From: `` at its beginning is another author, and a subject of two lines
becomes one. So the mails are applied again where nobody sees it, and what comes back is compared:
tree, author, date, message and note. A note (``git notes``) stands below the line ``---``, for the
readers of the mail.
"""

from __future__ import annotations

import re
import shlex
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from driver.errors import UserError
from driver.kernel import git_am
from driver.kernel.git import foreign_git, git, git_bytes
from driver.kernel.sources.cache import BASE

_FORMAT = (
    "--zero-commit",
    "--no-signature",
    "--no-numbered",
    "--no-thread",
    "--no-attach",
    "--no-cover-letter",
    "--no-base",
    "--no-to",
    "--no-cc",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-relative",
    "--subject-prefix=PATCH",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--diff-algorithm=myers",
    "--unified=3",
    # As many digits as git chooses for the objects of one kernel; in a clone with more it would
    # choose more.
    "--abbrev=9",
    # A commit that changes nothing is a mail without a diff, not an empty file.
    "--always",
    "--quiet",
)
_NOTES = "refs/notes/commits"
_NOTE = re.compile(rb"^---\n\nNotes:\n((?:    .*\n)+)", re.M)
_INDENT = 4


@dataclass(frozen=True)
class Borrowed:
    """``repository`` has the commits of ``tree`` and none of its settings; ``head`` is its HEAD."""

    tree: Path
    repository: Path
    base: str
    head: str

    def commits(self) -> list[str]:
        """The commits since the base, the oldest first."""
        return self.git("rev-list", "--reverse", f"{self.base}..{self.head}").split()

    def git(self, *arguments: str | Path) -> str:
        """What git prints there."""
        return git(self.repository, *arguments).stdout


@contextmanager
def borrowed(tree: Path, base: str = BASE, head: str = "HEAD") -> Iterator[Borrowed]:
    """A throw-away repository that reads the objects of a user's tree and writes none of them."""
    ids = [
        foreign_git(tree, "rev-parse", f"{name}^{{commit}}").stdout.strip() for name in (base, head)
    ]
    objects = foreign_git(tree, "rev-parse", "--path-format=absolute", "--git-path", "objects")
    notes = foreign_git(tree, "rev-parse", "--verify", "--quiet", _NOTES, check=False).stdout
    with tempfile.TemporaryDirectory(prefix="driver-export-") as folder:
        repository = Path(folder) / "repository"
        git(Path(folder), "init", "--quiet", "--template=", repository)
        alternates = repository / ".git/objects/info/alternates"
        alternates.parent.mkdir(exist_ok=True)
        alternates.write_text(objects.stdout, encoding="utf-8")
        if notes:
            git(repository, "update-ref", _NOTES, notes.strip())
        yield Borrowed(tree, repository, *ids)


def exact(found: Borrowed, *, reword: str | None = None) -> dict[str, bytes]:
    """The commits since the base as mails, by file name.

    Raises :class:`UserError` for a commit of which its mail would make another one; ``reword`` says
    how to change its message, by default in the tree that it is from.
    """
    where = shlex.quote(str(found.tree))
    reword = reword or f"Reword it: git -C {where} rebase -i {BASE}"
    mails = _formatted(found)
    with git_am.bare_tree(found.repository, found.base) as tree:
        for commit, (name, mail) in zip(found.commits(), mails.items(), strict=True):
            done = git_am.am(tree, name, mail)
            before = _content(found.repository, commit)
            if done.status != 0:
                rejection = git_am.explain_rejection("", done.stdout + done.stderr)
                raise _refusal(commit, before, None, rejection.summary, reword)
            after = _content(found.repository, git(tree, "rev-parse", "HEAD").stdout.strip())
            if after != before or note_of(mail).rstrip() != _note(found, commit).rstrip():
                raise _refusal(commit, before, after, "its note", reword)
    return mails


def note_of(mail: bytes) -> bytes:
    """The note of the commit that a mail was made of; empty if it had none."""
    found = _NOTE.search(mail)
    lines = found[1].splitlines(keepends=True) if found else []
    return b"".join(line[_INDENT:] for line in lines)


def add_note(repository: Path, commit: str, mail: bytes) -> None:
    """Give a commit in a repository of ours the note that its mail has, if there is one."""
    note = note_of(mail)
    if not note:
        return
    with tempfile.NamedTemporaryFile(prefix="driver-note-") as file:
        file.write(note)
        file.flush()
        blob = git(repository, "hash-object", "-w", "--no-filters", file.name).stdout.strip()
    git(repository, "notes", f"--ref={_NOTES}", "add", "-f", "-C", blob, commit)


def _formatted(found: Borrowed) -> dict[str, bytes]:
    commits = found.commits()
    noted = any(_note(found, commit) for commit in commits)
    with tempfile.TemporaryDirectory(prefix="driver-export-") as folder:
        git(
            # Attributes (which lines name a function) are read from the files of the user's tree.
            found.tree, f"--git-dir={found.repository / '.git'}", f"--work-tree={found.tree}",
            "-c", "core.attributesFile=/dev/null",
            "format-patch", *_FORMAT, f"--notes={_NOTES}" if noted else "--no-notes",
            "-o", folder, f"{found.base}..{found.head}",
        )  # fmt: skip
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def _note(found: Borrowed, commit: str) -> bytes:
    listed = git(found.repository, "notes", f"--ref={_NOTES}", "list", commit, check=False)
    if listed.status != 0:
        return b""
    return git_bytes(found.repository, "cat-file", "blob", listed.stdout.strip())


@dataclass(frozen=True)
class _Content:
    """What a commit is apart from its place: its message is UTF-8, whatever it was written in."""

    tree: bytes
    author: bytes
    message: bytes


def _content(repository: Path, commit: str) -> _Content:
    raw = git_bytes(repository, "cat-file", "commit", commit)
    head, _, message = raw.partition(b"\n\n")
    fields = dict(line.split(b" ", 1) for line in head.split(b"\n") if b" " in line[1:])
    if encoding := fields.get(b"encoding"):
        with suppress(LookupError, UnicodeDecodeError):
            message = message.decode(encoding.decode("ascii")).encode()
    return _Content(fields[b"tree"], fields[b"author"], message)


def _refusal(
    commit: str, before: _Content, after: _Content | None, other: str, reword: str
) -> UserError:
    """Why a commit cannot be a patch, with the line of its message that is to blame if one is."""
    subject = before.message.split(b"\n", 1)[0].decode(errors="replace")
    named = f"commit {commit[:12]} (`{subject}`)"
    body = before.message.partition(b"\n")[2]
    if end := git_am.MESSAGE_END.search(body):
        number = body.count(b"\n", 0, end.start()) + 2
        return UserError(
            f"{named} cannot be a patch: line {number} of its message, "
            f"`{end[0].decode(errors='replace')}`, would end the message",
            hint="Indent the line, or keep what follows it in a note (git notes), which is "
            f"exported. {reword}",
        )
    if after is None:
        return UserError(
            f"{named} cannot be a patch: git cannot apply what it exported ({other})", hint=reword
        )
    if after.message != before.message:
        lines = zip_longest(before.message.split(b"\n"), after.message.split(b"\n"))
        number, old, new = next(
            (number, old, new) for number, (old, new) in enumerate(lines, 1) if old != new
        )
        return UserError(
            f"{named} cannot be a patch: line {number} of its message would change",
            excerpt=f"{_shown(old)}\nwould become\n{_shown(new)}",
            hint=reword,
        )
    if after.author != before.author:
        return UserError(
            f"{named} cannot be a patch: its author would change",
            excerpt=f"{_shown(before.author)}\nwould become\n{_shown(after.author)}",
            hint=f"Remove lines like `From: ...` from its message. {reword}",
        )
    what = "its files" if after.tree != before.tree else other
    return UserError(
        f"{named} cannot be a patch: {what} would change",
        hint=f"Undo it, or split the commit. {reword}",
    )


def _shown(line: bytes | None) -> str:
    return "nothing" if line is None else repr(line.decode(errors="backslashreplace"))
