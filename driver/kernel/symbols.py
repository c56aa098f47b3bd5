# SPDX-License-Identifier: Apache-2.0
"""The symbols of a built kernel, and the source lines behind its addresses.

``nm`` and ``addr2line`` of binutils read the file; a kernel cannot have been built without them.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from driver.process import explaining, run

# Where the kernel's own tree begins in the paths of its debug information is learned from a
# function whose file everybody knows.
_LANDMARK = ("kernel_init", "init/main.c")
_TEXT = frozenset("tTwW")
# A path that tells no line: `??:0`, `??:?`, `file.c:?`.
_NOWHERE = re.compile(r"\?\?:|:\?$|:0$")
_DISCRIMINATOR = re.compile(r" \(discriminator \d+\)$")


@dataclass(frozen=True)
class Place:
    """A line of source. ``function`` is the one it is in, inlined or not."""

    function: str
    path: str
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line}"


@dataclass(frozen=True)
class Symbols:
    """What a kernel's ELF file tells. ``path`` is a vmlinux, with or without debug information."""

    path: Path

    @classmethod
    def of_kernel(cls, folder: Path) -> Symbols:
        """The best file in the folder of a kernel artifact: the whole one, if it was kept."""
        whole = folder / "vmlinux.debug"
        return cls(whole if whole.exists() else folder / "vmlinux")

    def _output(self, *argv: str | Path, stdin: str | None = None) -> str:
        """What a program of binutils prints about the file."""
        with explaining(f"read the symbols of {self.path}"):
            return run(argv, stdin=stdin).stdout

    @cached_property
    def has_lines(self) -> bool:
        """Whether source lines are known."""
        return " .debug_info " in self._output("readelf", "--sections", "--wide", self.path)

    @cached_property
    def _table(self) -> tuple[list[int], list[str]]:
        """Addresses of the functions, ascending, and their names."""
        listing = self._output("nm", "--numeric-sort", "--defined-only", self.path)
        addresses: list[int] = []
        names: list[str] = []
        for line in listing.splitlines():
            address, kind, name = line.split(maxsplit=2)
            if kind in _TEXT:
                addresses.append(int(address, 16))
                names.append(name)
        return addresses, names

    @cached_property
    def _by_name(self) -> Mapping[str, list[int]]:
        found: dict[str, list[int]] = {}
        for address, name in zip(*self._table, strict=True):
            found.setdefault(name, []).append(address)
        return found

    def address(self, function: str, offset: int, size: int) -> int | None:
        """The address of ``function+offset/size`` as a trace has it.

        ``size`` tells functions of one name apart, and one kernel from another. None if there is
        no such function, or if the name is ambiguous.
        """
        starts = [at for at in self._by_name.get(function, []) if self._size(at) == size]
        return starts[0] + offset if len(starts) == 1 and offset <= size else None

    def data(self, name: str) -> tuple[int, int] | None:
        """The address and the size in bytes of a variable; None if there is no such one."""
        listing = self._output("nm", "--print-size", "--defined-only", self.path)
        for line in listing.splitlines():
            match line.split():
                case [address, size, _, found] if found == name:
                    return int(address, 16), int(size, 16)
        return None

    def function(self, address: int) -> str | None:
        """An address as a trace would have it: ``function+0x12/0x34``."""
        addresses, names = self._table
        index = bisect.bisect_right(addresses, address) - 1
        if index < 0:
            return None
        start = addresses[index]
        size = self._size(start)
        if address - start >= size:
            return None
        return f"{names[index]}+{address - start:#x}/{size:#x}"

    def owner(self, address: int) -> tuple[str, int] | None:
        """The function that an address is in, and where that begins; None outside the kernel."""
        addresses, names = self._table
        index = bisect.bisect_right(addresses, address) - 1
        if index < 0 or index == len(addresses) - 1:
            return None
        return names[index], addresses[index]

    def start(self, function: str) -> int | None:
        """The address of a function whose name is unique, or None."""
        starts = self._by_name.get(function, [])
        return starts[0] if len(starts) == 1 else None

    def places(self, addresses: Iterable[int]) -> dict[int, list[Place]]:
        """The source lines of addresses, innermost first where functions were inlined.

        Addresses without a line are left out.
        """
        wanted = sorted(set(addresses))
        if not wanted or not self.has_lines:
            return {}
        found = self._addr2line(wanted)
        return {
            address: [Place(item.function, self._inside(item.path), item.line) for item in places]
            for address, places in found.items()
            if places
        }

    def _size(self, start: int) -> int:
        """How far it is to the next function: what the kernel prints as a function's size."""
        addresses, _ = self._table
        after = bisect.bisect_right(addresses, start)
        return addresses[after] - start if after < len(addresses) else 0

    @cached_property
    def _root(self) -> str:
        """What stands before the kernel's own paths."""
        name, path = _LANDMARK
        for start in self._by_name.get(name, []):
            for place in self._addr2line([start]).get(start, []):
                if place.path.endswith(path):
                    return place.path.removesuffix(path)
        return ""

    def _inside(self, path: str) -> str:
        return path.removeprefix(self._root).removeprefix("./")

    def _addr2line(self, addresses: Sequence[int]) -> dict[int, list[Place]]:
        program: list[str | Path] = ["addr2line", "--exe", self.path]
        program += ["--addresses", "--functions", "--inlines"]
        asked = "".join(f"{address:#x}\n" for address in addresses)
        found: dict[int, list[Place]] = {}
        lines = iter(self._output(*program, stdin=asked).splitlines())
        places: list[Place] = []
        for line in lines:
            if line.startswith("0x"):  # each address is echoed before its lines
                places = found.setdefault(int(line, 16), [])
                continue
            where = _DISCRIMINATOR.sub("", next(lines, "??:0"))
            if not _NOWHERE.search(where):
                path, _, number = where.rpartition(":")
                places.append(Place(line, path, int(number)))
        return found
