# SPDX-License-Identifier: Apache-2.0
"""Why a patch was rejected, from what git prints: which file, which hunk, and its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FAILED = re.compile(r"^error: patch failed: (?P<file>.+):(?P<line>\d+)$", re.M)
_OTHER = re.compile(r"^(?:error|fatal): (?P<text>.+)$", re.M)
_HUNK = re.compile(r"^@@ -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@")
_EXCERPT_LINES = 24


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


def explain(patch: str, output: str) -> Rejection:
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
    return "\n".join([*lines[:_EXCERPT_LINES], f"... and {left_out} more lines"])
