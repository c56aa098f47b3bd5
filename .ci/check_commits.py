# SPDX-License-Identifier: Apache-2.0
"""``check_commits.py [FILE]``: hold commit messages to the rule of CONTRIBUTING.md.

A message has a subject `area: imperative` of at most 75 columns, a blank line, and a body that says
why. With a file, which git's commit-msg hook passes, that message is checked; without one, every
commit written after ``SINCE``, when the rule began to be enforced. Exits 1 if a message breaks the
rule, 2 if the file cannot be read or git fails.
"""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# By the dates of the authors, which survive a rebase.
SINCE = datetime(2026, 11, 30, 22, 52, tzinfo=UTC)
# As for patches of the kernel (Documentation/process/submitting-patches.rst).
MOST_COLUMNS = 75
_SUBJECT = re.compile(r"(?P<area>[\w./*-]+(?:, [\w./*-]+)*): (?P<summary>\S.*)")
_TRAILER = re.compile(r"[A-Z][\w-]*: ")
# First words that begin a statement or a title, not an instruction.
_NO_VERB = re.compile(
    "a|all|an|and|any|as|at|both|by|each|every|for|from|how|if|in|into|is|it|its|less|more|most|no|"
    "nobody|none|not|now|of|on|one|only|other|our|some|still|that|the|their|there|these|they|this|"
    "those|to|too|two|was|we|what|when|where|which|who|whose|why|with|without|you|"
    r".*(?<![su])s|.*ed|.*ing"  # waits, waited, waiting
)
# Verbs in the imperative that look like another form.
_IMPERATIVE = re.compile(
    "alias|bias|bring|canvas|cling|embed|exceed|feed|need|ping|proceed|ring|seed|shed|sing|speed|"
    "spring|string|succeed|swing"
)


def problems(message: str) -> list[str]:
    """What is wrong with a commit message, a sentence for each; nothing if it keeps the rule."""
    lines = message.rstrip().split("\n")
    subject = lines[0]
    if subject.startswith(("Revert ", "Merge ")):  # as git writes them
        return []
    found = []
    if len(subject) > MOST_COLUMNS:
        found.append(f"the subject has {len(subject)} columns, at most {MOST_COLUMNS} are allowed")
    match = _SUBJECT.fullmatch(subject)
    if not match:
        found.append("the subject is not `area: imperative`")
    else:
        verb = match["summary"].split()[0]
        if not _is_imperative(verb.lower()):
            found.append(
                f"the subject should begin with an imperative after the area, not {verb!r}"
            )
        if subject.endswith("."):
            found.append("the subject ends with a full stop")
    if len(lines) > 1 and lines[1].strip():
        found.append("the second line is not blank")
    if not any(line.strip() and not _TRAILER.match(line) for line in lines[1:]):
        found.append("there is no body that says why")
    return found


def _is_imperative(verb: str) -> bool:
    """Whether a first word can be an imperative: by its form, not by its meaning."""
    return bool(_IMPERATIVE.fullmatch(verb) or not _NO_VERB.fullmatch(verb))


def message_being_written(text: str) -> str:
    """The message in a file that git hands to its hook: no comments, nothing below the scissors."""
    text = re.split(r"^# -+ >8 -+$", text, maxsplit=1, flags=re.M)[0]
    return "\n".join(line for line in text.split("\n") if not line.startswith("#")).strip()


def git(*arguments: str) -> str:
    """The output of a git command in this repository; raises CalledProcessError."""
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout


def messages_since(moment: datetime) -> list[tuple[str, str]]:
    """Short name and message of each commit written since then but merges, the oldest first.

    A shallow clone has what it has. Raises CalledProcessError if git fails.
    """
    text = git("log", "--reverse", "--no-merges", "--format=%at%x00%h%x00%B%x01")
    entries = [entry.strip("\n").split("\0") for entry in text.split("\1") if entry.strip()]
    return [(name, message) for at, name, message in entries if int(at) >= moment.timestamp()]


def messages_in(file: Path) -> list[tuple[str, str]]:
    """The message that git's hook is given, as :func:`messages_since` returns them.

    Nothing if `git rebase --autosquash` folds it away; one that is left fails the other check.
    Raises OSError or UnicodeDecodeError if the file cannot be read.
    """
    text = message_being_written(file.read_text(encoding="utf-8"))
    unfinished = text.startswith(("fixup! ", "squash! ", "amend! "))
    return [] if unfinished else [("this message", text)]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check commit messages.")
    parser.add_argument("file", nargs="?", type=Path, help="one message; default: all since SINCE")
    file: Path | None = parser.parse_args(arguments).file
    if file is None and not (ROOT / ".git").exists():
        print(
            "check_commits: no git repository, so that there is nothing to check", file=sys.stderr
        )
        return 0
    try:
        messages = messages_since(SINCE) if file is None else messages_in(file)
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split())
        print(f"check_commits: {shlex.join(error.cmd)}: {reason}", file=sys.stderr)
        return 2
    except (OSError, UnicodeDecodeError) as error:
        print(f"check_commits: {file or 'git log'}: {error}", file=sys.stderr)
        return 2
    status = 0
    for name, message in messages:
        for problem in problems(message):
            print(f"{name}: {problem}: {message.partition(chr(10))[0]}", file=sys.stderr)
            status = 1
    if status:
        print("See `Commits` in CONTRIBUTING.md.", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
