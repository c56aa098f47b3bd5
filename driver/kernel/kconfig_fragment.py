# SPDX-License-Identifier: Apache-2.0
"""Configuration fragments: lines of ``CONFIG_X=y`` that someone asks for.

Symbols go when what they turned on has become part of every kernel. A line that ends in
``# known in BASE`` asks for a symbol where the kernel has it::

    CONFIG_X86_5LEVEL=y  # known in 6.12

On Linux 6.12 it must hold like any other line, so that a misspelt symbol is found there. A kernel
of another base that lacks the symbol is built without it.

Two fragments that ask for different values of one symbol contradict each other, and the kernel's
``merge_config.sh`` would let the last one win. Here that has to be asked for, by the name of the
fragment whose value does not hold::

    CONFIG_PARAVIRT=n  # overrides machine.config
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.suggestion import did_you_mean
from driver.text import not_utf8

FOLDER = Path(__file__).parent / "fragments"
MACHINE = "machine"

_LINES = (
    'Write CONFIG_SYMBOL=y, =n, a number, or a "string"; # begins a comment. '
    "Only `# known in BASE` and `# overrides FRAGMENT` may follow a symbol."
)

_SET = re.compile(r'CONFIG_(\w+)=(y|m|n|-?\d+|0x[0-9a-fA-F]+|"(?:[^"\\]|\\.)*")')
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")
_REMARK = re.compile(
    r"(?P<line>.*\S)\s+# (?:known in (?P<base>\d+\.\d+)|overrides (?P<names>\S+(?:, \S+)*))"
)


@dataclass(frozen=True)
class SymbolRequest:
    """One symbol with the value asked for ("n" for off) and where that was written.

    ``known_in`` is the base ("6.12") whose kernels must have the symbol; empty if all must.
    ``overrides`` are the names of the fragments that may ask for another value; ``path`` is the
    fragment's file.
    """

    symbol: str
    value: str
    fragment: str
    line: int
    known_in: str = ""
    overrides: frozenset[str] = frozenset()
    path: Path | None = None

    def required(self, base: str) -> bool:
        """Whether a kernel of this base that lacks the symbol is an error."""
        return self.known_in in ("", base)

    def agrees(self, value: str) -> bool:
        """Whether the symbol would have this value; 16 and 0x10 are the same."""
        try:
            return value == self.value or int(value, 0) == int(self.value, 0)
        except ValueError:
            return False

    @property
    def place(self) -> str:
        """Where it was written, as compilers name it."""
        return f"{self.path or self.fragment}:{self.line}"

    def __str__(self) -> str:
        return f"CONFIG_{self.symbol}={self.value}"


@dataclass(frozen=True)
class Fragment:
    """A named piece of configuration; ``path`` is None for one that is in no file."""

    name: str
    text: str
    path: Path | None = None

    @classmethod
    def read(cls, path: Path) -> Fragment:
        """The fragment in a file, under its name; :class:`UserError` if it is not UTF-8 text."""
        try:
            return cls(path.name, path.read_text(encoding="utf-8-sig"), path)
        except UnicodeDecodeError as error:
            raise UserError(not_utf8(path, error), hint=_LINES) from error

    def requests(self) -> list[SymbolRequest]:
        """What the fragment asks for, in order. Raises :class:`UserError` on any other line."""
        found = []
        for number, line in enumerate(self.text.splitlines(), start=1):
            stripped, known_in, overrides = line.strip(), "", frozenset[str]()
            while remark := _REMARK.fullmatch(stripped):
                stripped = remark["line"]
                known_in = remark["base"] or known_in
                overrides |= set((remark["names"] or "").split(", "))
            if match := _SET.fullmatch(stripped):
                symbol, value = match[1], match[2]
            elif match := _UNSET.fullmatch(stripped):
                symbol, value = match[1], "n"
            elif stripped and not stripped.startswith("#"):
                raise UserError(
                    f"{self.path or self.name}:{number}: `{stripped}` is not a configuration line",
                    hint=_LINES,
                )
            else:
                continue
            found.append(
                SymbolRequest(
                    symbol, value, self.name, number, known_in, overrides - {""}, self.path
                )
            )
        return found


def builtin(name: str) -> Fragment:
    """The fragment ``machine`` or that of a variant ("debug"); :class:`UserError` if unknown."""
    path = FOLDER / f"{name}.config"
    if not path.is_file():
        raise UserError(
            f"there is no kernel variant `{name}`", hint=did_you_mean(name, variants(), "Known")
        )
    return Fragment.read(path)


def variants() -> list[str]:
    """The names ``--variant`` accepts."""
    return sorted(path.stem for path in FOLDER.glob("*.config") if path.stem != MACHINE)


def resolve(fragments: Iterable[Fragment]) -> dict[str, SymbolRequest]:
    """The request that holds for each symbol, in the order in which symbols are first asked for.

    Raises :class:`UserError` where two requests differ and the later one does not override the
    fragment of the earlier one.
    """
    found: dict[str, SymbolRequest] = {}
    contradictions = []
    for request in (request for part in fragments for request in part.requests()):
        earlier = found.get(request.symbol, request)
        if not earlier.agrees(request.value) and earlier.fragment not in request.overrides:
            contradictions.append((earlier, request))
        found[request.symbol] = request
    if contradictions:
        raise _contradiction(contradictions)
    return found


def _contradiction(pairs: list[tuple[SymbolRequest, SymbolRequest]]) -> UserError:
    earlier, later = pairs[0]
    hint = f"Remove one of the lines, or end the later one with `# overrides {earlier.fragment}`."
    if earlier.fragment == later.fragment:
        hint = "Remove one of the lines."
    return UserError(
        f"{later.place} asks for {later}, but {earlier.place} for {earlier}",
        excerpt="\n".join(f"{one.place}: {one}\n{two.place}: {two}" for one, two in pairs[1:]),
        hint=hint,
    )
