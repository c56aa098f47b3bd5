# SPDX-License-Identifier: Apache-2.0
"""The lines of a kernel's source that have code, and where: from its DWARF line tables.

pyelftools (a part of the optional dependency ``drgn``) decodes them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from driver.errors import UserError

# By line, the addresses of its code: from the first to before the last. Inlined code has several.
Lines = Mapping[int, list[tuple[int, int]]]


def source_lines(vmlinux: Path, paths: Collection[str]) -> Mapping[str, Lines]:
    """The lines with code of these files, by path in the source tree, in all that includes them.

    Takes about a minute for a kernel. Raises :class:`UserError` if pyelftools is not installed, or
    if there is no debug information.
    """
    try:
        from elftools.elf.elffile import ELFFile  # noqa: PLC0415  (optional)
    except ImportError as error:
        raise UserError(
            "pyelftools is not installed, which reads the line tables of a kernel",
            hint="pip install 'dax-pagetable-driver[drgn]'",
        ) from error
    found: dict[str, dict[int, list[tuple[int, int]]]] = {path: defaultdict(list) for path in paths}
    with vmlinux.open("rb") as file:
        elf = ELFFile(file)
        if not elf.has_dwarf_info(strict=True):
            raise UserError(
                f"{vmlinux} has no debug information",
                hint="driver build kernel --variant debug-info makes one that has.",
            )
        dwarf = elf.get_dwarf_info()
        for unit in dwarf.iter_CUs():
            program = dwarf.line_program_for_CU(unit)
            if program is not None:
                _add_unit(program, set(paths), found)
    return {path: dict(lines) for path, lines in found.items()}


def _add_unit(
    program: Any, wanted: set[str], found: Mapping[str, dict[int, list[tuple[int, int]]]]
) -> None:
    numbers = {
        index: path
        for index, name in enumerate(_names(program.header))
        for path in wanted
        # Of a kernel that is built outside of its source, paths are absolute.
        if name == path or name.endswith(f"/{path}")
    }
    if not numbers:
        return
    # Files are counted from 1 before DWARF 5.
    base = 0 if program.header["version"] >= 5 else 1
    last = None
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        if last is not None and last.address < state.address:
            path = numbers.get(last.file - base)
            # Line 0 stands for code that is of no line.
            if path is not None and last.line:
                found[path][last.line].append((last.address, state.address))
        last = None if state.end_sequence else state


def _names(header: Any) -> Iterator[str]:
    """Paths of the files of a unit, in their order, as they are in the source tree."""
    five = header["version"] >= 5
    folders = [folder.decode() for folder in header["include_directory"]]
    for file in header["file_entry"]:
        folder, name = file.dir_index, file.name.decode()
        if not five:
            folder -= 1
        before = folders[folder] if 0 <= folder < len(folders) and folder else ""
        path = name if name.startswith("/") or not before else f"{before}/{name}"
        yield path.removeprefix("./")
