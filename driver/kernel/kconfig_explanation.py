# SPDX-License-Identifier: Apache-2.0
"""Why kconfig did not take a symbol: a best effort read of the Kconfig files.

Only what stands in the file that defines the symbol is seen: its own ``depends on`` and the
``if``, ``menu`` and ``choice`` blocks around it, not conditions on the ``source`` line elsewhere.
That explains nearly every dropped symbol; where it does not, the answer says so.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from driver.suggestion import closest

_WORD = re.compile(r"\b[A-Z0-9_]*[A-Z_][A-Z0-9_]*\b")
_BLOCK = re.compile(r"(config|menuconfig|choice|menu|if|comment|mainmenu|source)\b\s*(.*)")
_PROMPT = re.compile(
    r'(?:bool|tristate|int|hex|string|prompt)\s+"(?:[^"\\]|\\.)*"(?:\s+if\s+(?P<condition>.+))?$'
)
_END = re.compile(r"end(choice|menu|if)\b")
_ELSEWHERE = {"Documentation", "tools", "samples", "scripts", ".git"}


@dataclass
class _Definition:
    """One ``config`` entry: the conditions on it, who it is, and whether a person may set it."""

    where: str
    conditions: list[str] = field(default_factory=list)
    prompt: bool = False


def why_dropped(tree: Path, symbol: str, value: str, config: Mapping[str, str]) -> str:
    """One clause that says what the symbol misses, with the present value of what it needs."""
    files = list(kconfig_files(tree))
    definitions = [found for file in files for found in _definitions(tree, file, symbol)]
    if not definitions:
        close = closest(symbol, all_symbols(files), alike=0.8)
        meant = f"; did you mean CONFIG_{close[0]}?" if close else ""
        return f"this source has no such symbol{meant}"
    where = definitions[0].where
    if not any(found.prompt for found in definitions):
        return f"it cannot be set by hand, only selected by others ({where})"
    if value == "n":
        selectors = [name for name in _selectors(files, symbol) if config.get(name)]
        if selectors:
            return f"selected by {', '.join(f'CONFIG_{name}' for name in selectors[:4])}"
    conditions = list(dict.fromkeys(part for found in definitions for part in found.conditions))
    if not conditions:
        return f"no unmet dependency is visible in {where}"
    shown = " && ".join(f"({part})" if "||" in part else part for part in conditions)
    return f"depends on {_annotate(shown, config)} ({where})"


def _annotate(expression: str, config: Mapping[str, str]) -> str:
    return _WORD.sub(lambda word: f"{word[0]} [={config.get(word[0], 'n')}]", expression)


def kconfig_files(tree: Path) -> Iterator[Path]:
    """All Kconfig files that can matter on x86."""
    for folder, names, files in os.walk(tree):
        here = Path(folder)
        if here == tree:
            names[:] = sorted(set(names) - _ELSEWHERE)
        elif here == tree / "arch":
            names[:] = sorted(set(names) & {"x86"})
        else:
            names.sort()
        yield from (here / name for name in sorted(files) if name.startswith("Kconfig"))


def _definitions(tree: Path, file: Path, symbol: str) -> Iterator[_Definition]:
    text = file.read_text(encoding="utf-8", errors="replace")
    if not re.search(rf"^\s*(menu)?config {symbol}\s*$", text, re.M):
        return
    around: list[list[str]] = []  # conditions of the blocks that are open here
    target: list[str] = []  # where a `depends on` of the present entry goes
    entry: _Definition | None = None
    for line in [*_statements(text), "comment"]:
        block, end = _BLOCK.match(line), _END.match(line)
        if block or end:
            if entry is not None:
                yield entry
            entry, target = None, []
        if end and around:
            around.pop()
        elif block and block[1] in {"if", "menu", "choice"}:
            around.append([block[2]] if block[1] == "if" else [])
            target = around[-1]
        elif block and block[1] in {"config", "menuconfig"} and block[2] == symbol:
            outer = [part for conditions in around for part in conditions]
            entry = _Definition(str(file.relative_to(tree)), outer)
            target = entry.conditions
        elif line.startswith("depends on "):
            target.append(line.removeprefix("depends on ").partition(" #")[0].strip())
        elif entry is not None and (prompt := _PROMPT.match(line)):
            entry.prompt = True
            if prompt["condition"]:
                entry.conditions.append(prompt["condition"])


def _statements(text: str) -> Iterator[str]:
    """The lines of a Kconfig file without help texts, whose prose may begin with "if" as well.

    A help text ends at the first line indented less than its first one.
    """
    indent: int | None = None  # of the help text; 0 while its first line is awaited
    for raw in text.replace("\\\n", " ").expandtabs(8).splitlines():
        line = raw.strip()
        if not line:
            continue
        depth = len(raw) - len(raw.lstrip())
        if indent == 0:
            indent = depth
        if indent is not None and depth >= indent > 0:
            continue
        indent = 0 if line in {"help", "---help---"} else None
        yield line


def _selectors(files: list[Path], symbol: str) -> list[str]:
    """The symbols that select ``symbol``, whatever their conditions."""
    found = []
    for file in files:
        name = ""
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := re.match(r"\s*(?:menu)?config (\w+)", line):
                name = match[1]
            elif re.match(rf"\s*select {symbol}\b", line):
                found.append(name)
    return found


def all_symbols(files: Iterable[Path]) -> set[str]:
    """Every symbol that these Kconfig files define."""
    definition = re.compile(r"^\s*(?:menu)?config (\w+)", re.M)
    return {
        name
        for file in files
        for name in definition.findall(file.read_text(encoding="utf-8", errors="replace"))
    }
