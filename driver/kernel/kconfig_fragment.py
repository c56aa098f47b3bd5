# SPDX-License-Identifier: Apache-2.0
"""Configuration fragments: lines of ``CONFIG_X=y`` that someone asks for."""

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


@dataclass(frozen=True)
class SymbolRequest:
    """One symbol with the value asked for ("n" for off) and where that was written."""

    symbol: str
    value: str
    fragment: str
    line: int


@dataclass(frozen=True)
class Fragment:
    """A named piece of configuration."""

    name: str
    text: str

    @classmethod
    def read(cls, path: Path) -> Fragment:
        return cls(path.name, path.read_text(encoding="utf-8"))

    def requests(self) -> list[SymbolRequest]:
        """What the fragment asks for, in order. Raises :class:`UserError` on any other line."""
        found = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped = line.strip()
            match = _SET.fullmatch(stripped)
            unset = _UNSET.fullmatch(stripped)
            if match:
                found.append(SymbolRequest(match[1], match[2], self.name, number))
            elif unset:
                found.append(SymbolRequest(unset[1], "n", self.name, number))
            elif stripped and not stripped.startswith("#"):
                raise UserError(
                    f"{self.name}:{number}: `{stripped}` is not a configuration line",
                    hint='Write CONFIG_SYMBOL=y, =n, a number, or a "string"; # begins a comment.',
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
