# SPDX-License-Identifier: Apache-2.0
"""The documentation as tests see it: pages, and the fenced blocks in them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Code may also be indented; then it says nothing of itself, and is what a person types.
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}[^\n]*\n)+")
_FENCE = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words behind it, and what it must have printed."""

    page: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str
    output: tuple[str, ...] = ()

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
        line = text.count("\n", 0, match.start()) + 1
        words = tuple(match[2].split())
        if match[1] == "text" and "out" in words:
            before = found.pop()
            output = tuple(match[3].splitlines())
            found.append(Block(before.page, before.line, before.language, before.words,
                               before.text, output))  # fmt: skip
        else:
            found.append(Block(page, line, match[1], words, match[3]))
    prose = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    for match in _INDENTED.finditer(prose):
        line = prose.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, "sh", (), textwrap.dedent(match[0])))
    return found
