# SPDX-License-Identifier: Apache-2.0
"""Making a commit of a patch that is a mail, and saying which hunk did not apply."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from driver.errors import UserError
from driver.kernel.git import git
from driver.process import Completed
from driver.text import counted

_FAILED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.M)
_OTHER = re.compile(r"^(?:error|fatal): (?P<text>.+)$", re.M)
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_EXCERPT_LINES = 24

# What `git format-patch` writes first: only of such a mail is it certain that it has no diff
# because its commit changes nothing, and not because the diff was lost on the way.
_FORMATTED = re.compile(rb"From [0-9a-f]{40} ")
# Where `git am` takes a message to end, as mailinfo.c of git has it (patchbreak()).
MESSAGE_END = re.compile(rb"^(?:---(?:[ \t]*$| [^ \t\n])|diff -|Index: ).*", re.M)
_SIGNED_OFF = re.compile(rb"^Signed-off-by: .*", re.M)
_DIFF = re.compile(rb"^(?:diff --git |--- a/|GIT binary patch)", re.M)


@contextmanager
def bare_tree(repository: Path, base: str, near: Path | None = None) -> Iterator[Path]:
    """A throw-away work tree of a repository of ours at ``base``, without the files.

    ``git am`` checks out what a patch changes, and a kernel has 80,000 files more. It is made in
    the directory ``near``, by default where temporary files are.
    """
    with TemporaryDirectory(prefix="am-", dir=near) as folder:
        tree = Path(folder) / "tree"
        git(repository, "worktree", "add", "--quiet", "--no-checkout", "--detach", tree, base)
        try:
            git(tree, "sparse-checkout", "set", "--no-cone", "--stdin", stdin="/.no-file\n")
            git(tree, "checkout", "--quiet", "--detach", base)
            yield tree
        finally:
            git(repository, "worktree", "remove", "--force", tree, check=False)


def am(tree: Path, name: str, mail: bytes) -> Completed:
    """Try to make a commit of a mail on top of HEAD in a work tree of ours.

    The mail's author is kept. The committer is fixed, and its date is the author's, so that the
    same mails always give the same commit ids.
    """
    options = ["--committer-date-is-author-date", "--no-gpg-sign", "--keep-non-patch", "--quiet"]
    # Files may have lines that end in CR LF. Where the mail's own do, CR is not the files'.
    first = mail.partition(b"\n")[0]
    options.append("--no-keep-cr" if first.endswith(b"\r") else "--keep-cr")
    if _FORMATTED.match(mail):
        options.append("--empty=keep")
    path = tree.parent / Path(name).name
    path.write_bytes(mail)
    done = git(
        tree, "-c", "core.hooksPath=/dev/null", "am", *options, path,
        check=False,
        env={"GIT_AUTHOR_NAME": None, "GIT_AUTHOR_EMAIL": None, "GIT_AUTHOR_DATE": None},
    )  # fmt: skip
    path.unlink()
    return done


def check_message(name: str, mail: bytes) -> None:
    """Raise :class:`UserError` if ``git am`` would drop the end of a mail's message.

    A line ``---`` ends the message. What follows it is for the readers of the mail, but nobody
    signs that off, unless the line was meant to be a part of the message.
    """
    diff = _DIFF.search(mail)
    text = mail[: diff.start() if diff else len(mail)].replace(b"\r\n", b"\n")
    end = MESSAGE_END.search(text)
    if end is None or _SIGNED_OFF.search(text, 0, end.start()):
        return
    if lost := _SIGNED_OFF.search(text, end.end()):
        line, other = (text.count(b"\n", 0, found.start()) + 1 for found in (end, lost))
        raise UserError(
            f"{name}:{line}: `{end[0].decode(errors='replace')}` ends the message, and the "
            f"Signed-off-by in line {other} would be lost",
            hint="Remove the line or indent it: `git am` drops all that follows it.",
        )


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
    return "\n".join([*lines[:_EXCERPT_LINES], f"... and {counted(left_out, 'more line')}"])
