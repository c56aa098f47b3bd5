# SPDX-License-Identifier: Apache-2.0
"""Configuration fragments: lines of ``CONFIG_X=y`` that someone asks for.

Symbols go when what they turned on has become part of every kernel. A line that ends in
``# known in BASE`` asks for a symbol where the kernel has it::

    CONFIG_X86_5LEVEL=y  # known in 6.12

On Linux 6.12 it must hold like any other line, so that a misspelt symbol is found there. A kernel
of another base that lacks the symbol is built without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError

FOLDER = Path(__file__).parent / "fragments"
MACHINE = "machine"

_SET = re.compile(r'CONFIG_(\w+)=(y|m|n|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_KNOWN_IN = re.compile(r"(?P<line>.*\S)\s+# known in (?P<base>\d+\.\d+)")


@dataclass(frozen=True)
class SymbolRequest:
    """One symbol with the value asked for ("n" for off) and where that was written.

    ``known_in`` is the base ("6.12") whose kernels must have the symbol; empty if all must.
    """

    symbol: str
    value: str
    fragment: str
    line: int
    known_in: str = ""

    def required(self, base: str) -> bool:
        """Whether a kernel of this base that lacks the symbol is an error."""
        return self.known_in in ("", base)

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}={self.value}"


@dataclass(frozen=True)
class Fragment:
    """A named piece of configuration."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Fragment:
        return cls(path.name, path.read_text(encoding="utf-8-sig"))

    def requests(self) -> list[SymbolRequest]:
        """What the fragment asks for, in order. Raises :class:`UserError` on any other line."""
        found = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped, known_in = line.strip(), ""
            if marked := _KNOWN_IN.fullmatch(stripped):
                stripped, known_in = marked["line"], marked["base"]
            match = _SET.fullmatch(stripped)
            unset = _UNSET.fullmatch(stripped)
            if match:
                found.append(SymbolRequest(match[1], match[2], self.name, number, known_in))
            elif unset:
                found.append(SymbolRequest(unset[1], "n", self.name, number, known_in))
            elif stripped and not stripped.startswith("#"):
                raise UserError(
                    f"{self.name}:{number}: `{stripped}` is not a configuration line",
                    hint='Write CONFIG_SYMBOL=y, =n, a number, or a "string"; # begins a comment. '
                    "Only `# known in BASE` may stand behind a symbol.",
                )
        return found


def builtin(name: str) -> Fragment:
    """The fragment ``machine`` or that of a variant ("debug"); :class:`UserError` if unknown."""
    path = FOLDER / f"{name}.config"
    if not path.is_file():
        raise UserError(
            f"there is no kernel variant `{name}`", hint=f"Known: {', '.join(variants())}."
        )
    return Fragment.read(path)


def variants() -> list[str]:
    """The names ``--variant`` accepts."""
    return sorted(path.stem for path in FOLDER.glob("*.config") if path.stem != MACHINE)


def resolve(fragments: Iterable[Fragment]) -> dict[str, SymbolRequest]:
    """The last request for each symbol: a later fragment has the final say, as in the kernel."""
    return {request.symbol: request for part in fragments for request in part.requests()}
