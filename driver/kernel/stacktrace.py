# SPDX-License-Identifier: Apache-2.0
"""Stack traces of a crashed kernel with the lines of source they went through.

The kernel prints ``function+offset/size``; the file it was built into knows the rest. A frame of
a call trace is a *return* address, so the line of the call is the one before it; the instruction
pointer itself is exact.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from driver.kernel.symbols import Place, Symbols

_FRAME = re.compile(r"(?<![\w.])([A-Za-z_][\w.]*)\+0x([0-9a-f]+)/0x([0-9a-f]+)(?! *\[)")
# Kernels without kallsyms print addresses instead; those of the kernel's own text.
_ADDRESS = re.compile(r"(?<![\w+/])(?:0x|\[<)(ffffffff[89a-f][0-9a-f]{7})\b>?\]?")
# Where the kernel was moved to; `disabled` if it was not.
_MOVED = re.compile(r"Kernel Offset: 0x([0-9a-f]+) from ")
# After the time stamp only blanks, a `?`, and the frame itself: a frame of a call trace.
_OF_TRACE = re.compile(r"(?:\[[^\]]*\])*\s*(?:\? )?$")


@dataclass(frozen=True)
class Decoded:
    """A console excerpt with source lines; ``note`` says what they rest on, or why there are none.

    ``note`` is empty where the text holds no trace.
    """

    text: str
    note: str


@dataclass(frozen=True)
class _Frame:
    """A place in the text that names an address of the kernel."""

    line: int
    end: int
    name: str
    address: int | None
    raw: bool


def has_trace(text: str) -> bool:
    """Whether there is anything to decode."""
    return bool(_FRAME.search(text) or _ADDRESS.search(text))


def decode(text: str, symbols: Symbols, *, hint: str = "") -> Decoded:
    """Add to every frame of the traces in ``text`` where in the source it is.

    ``hint`` is how a kernel is built whose lines are known. What the kernel printed stays
    verbatim; source lines follow it.
    """
    lines = text.splitlines()
    frames = list(_frames(lines, symbols))
    if not frames:
        return Decoded(text, "")
    known = [frame.address for frame in frames if frame.address is not None]
    places = symbols.places(known)
    for frame in reversed(frames):  # from behind, so that positions in a line stay right
        decoded = []
        if frame.raw and frame.name:
            decoded.append(frame.name)
        if frame.address is not None and places.get(frame.address):
            decoded.append(_source(places[frame.address]))
        if decoded:
            line = lines[frame.line]
            lines[frame.line] = f"{line[: frame.end]} ({': '.join(decoded)}){line[frame.end :]}"
    return Decoded("\n".join(lines), _note(frames, symbols, hint))


def _frames(lines: list[str], symbols: Symbols) -> Iterator[_Frame]:
    moved = next((found for line in lines if (found := _MOVED.search(line))), None)
    offset = int(moved[1], 16) if moved else 0
    for number, line in enumerate(lines):
        for found in _FRAME.finditer(line):
            address = symbols.address(found[1], int(found[2], 16), int(found[3], 16))
            returned = int(found[2], 16) > 0 and _OF_TRACE.match(line[: found.start()])
            if address is not None and returned:
                address -= 1
            yield _Frame(number, found.end(), found[1], address, raw=False)
        for found in _ADDRESS.finditer(line):
            address = int(found[1], 16) - offset
            name = symbols.function(address)
            returned = _OF_TRACE.match(line[: found.start()])
            if name is not None:
                where = address - 1 if returned else address
                yield _Frame(number, found.end(), name, where, raw=True)


def _source(places: list[Place]) -> str:
    """One line; or, of inlined functions, the innermost first and where each was inlined."""
    *inlined, last = places
    return ", inlined at ".join([*(f"{place} {place.function}" for place in inlined), str(last)])


def _note(frames: list[_Frame], symbols: Symbols, hint: str) -> str:
    strangers = list(dict.fromkeys(frame.name for frame in frames if frame.address is None))
    if all(frame.address is None for frame in frames):
        missing = f"{strangers[0]} of that size is not in it"
        return f"no source lines: the trace is not of the kernel at {symbols.path} ({missing})"
    if not symbols.has_lines:
        reason = "no source lines: the kernel was built without debug information"
        return f"{reason}; {hint}" if hint else reason
    unclear = f"; not found: {', '.join(strangers)}" if strangers else ""
    return f"source lines from the debug information of the kernel that ran{unclear}"
