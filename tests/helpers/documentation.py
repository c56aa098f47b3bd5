# SPDX-License-Identifier: Apache-2.0
"""The documentation as tests see it: pages, and the fenced blocks in them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Code may also be indented; then it says nothing of itself, and is what a person types.
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
# A comment before a fence may say what must be done first, which a reader has done already.
_FENCE = re.compile(
    r"(?:^<!-- first (?P<first>.*?) -->\n)?"
    r"^```(?P<language>\w+)(?P<words>[^\n]*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, and what it must have printed.

    ``first`` is a line of shell that must have been typed before.
    """

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str
    output: tuple[str, ...] = ()
    first: str = ""

    def option(self, name: str) -> str:
        """The value of a word ``name=value``, or nothing."""
        found = [word.partition("=")[2] for word in self.words if word.startswith(f"{name}=")]
        return found[0] if found else ""

    @property
    def file(self) -> str:
        return self.option("file")

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def documents() -> list[Path]:
    """Every page a person reads, but for those that are made from the code."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in pages if page.parent.name != "reference"]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page in order; output is with the block that printed it."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        words = tuple(match["words"].split())
        if match["language"] == "text" and "out" in words:
            found[-1] = replace(found[-1], output=tuple(match["text"].splitlines()))
        else:
            first = match["first"] or ""
            block = Block(page, line, match["language"], words, match["text"], first=first)
            found.append(block)
    prose = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _INDENTED.finditer(prose):
        line = prose.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, "sh", (), textwrap.dedent(match[0])))
    return found
