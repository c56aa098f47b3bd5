# SPDX-License-Identifier: Apache-2.0
"""The page tables through which processes map files of a DAX file system, from root to leaf.

Entries are read as the processor reads them, from physical memory. Of the kernel's own opinion only
two things are used: which processes there are with which mappings, and, for comparison, how many
users it counts of a shared table.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import drgn
    from numpy.typing import NDArray

# Intel SDM volume 3, chapter "Paging": bits of an entry, and of a virtual address at each level.
_PRESENT, _LEAF, _FRAME = 1 << 0, 1 << 7, 0x000F_FFFF_FFFF_F000
_PAGE, _ENTRIES, _BYTES = 4096, 512, 8
_SHIFTS = {"PGD": 48, "P4D": 39, "PUD": 30, "PMD": 21, "PTE": 12}
# Those of a processor with four levels, whose PGD is what five levels call P4D.
_FOUR = ("PGD", "PUD", "PMD", "PTE")
_FIVE = ("PGD", "P4D", "PUD", "PMD", "PTE")
# Half of the PGD is the kernel's.
_USER_ENTRIES = _ENTRIES // 2
# include/linux/fs.h: flag of an inode whose pages are not in the page cache.
_S_DAX = 1 << 13
# Bits of ptdesc.pt_dax that are no part of the pointer; any of them: not a shared table.
_NO_POINTER = 7


@dataclass(frozen=True)
class Table:
    """A page of a process's page tables, as far as it belongs to one mapping.

    ``address`` is its physical address, ``entry`` that of the entry that points to it (None for the
    PGD), ``start`` the first virtual address of the mapping that it translates. ``present`` of its
    entries for the mapping are there, ``leaves`` of them map memory and not another table.
    ``users`` is how many PUD entries point to it as the kernel counts, if it is a shared table.
    """

    pid: int
    process: str
    file: str
    level: str
    address: int
    entry: int | None
    start: int
    present: int
    leaves: int
    users: int | None


@dataclass(frozen=True)
class Mapping:
    """A range of virtual addresses of a process, and the file in it."""

    pid: int
    process: str
    file: str
    start: int
    end: int
    root: int


@dataclass(frozen=True)
class Tables:
    """What was found in a guest: page tables of mappings, and all that any process has.

    ``parents`` has all page tables of user space but the PGDs, by physical address, and for each
    the addresses of the entries that point to it; ``levels`` their levels. ``kernel`` are addresses
    of the tables of the kernel's half, which all processes have in common.
    """

    mapped: tuple[Table, ...]
    parents: dict[int, frozenset[int]]
    levels: dict[int, str]
    kernel: frozenset[int]


@dataclass
class Walker:
    """Reads page tables of a kernel, each once."""

    program: drgn.Program
    _read: dict[int, NDArray[np.uint64]] = field(default_factory=dict)

    @property
    def levels(self) -> Sequence[str]:
        """Names of the levels, from the root."""
        note = bytes(self.program["VMCOREINFO"].string_())
        return _FIVE if b"pgtable_l5_enabled)=1" in note else _FOUR

    def tables(self) -> Tables:
        """All page tables that there are now."""
        mms = list(_address_spaces(self.program))
        mapped = [
            table
            for pid, name, mm, root in mms
            for mapping in _dax_mappings(self.program, pid, name, mm, root)
            for table in self._of_mapping(mapping)
        ]
        parents: dict[int, set[int]] = {}
        kinds: dict[int, str] = {}
        for root in [*(root for *_, root in mms), *_hidden(self.program)]:
            self._collect(root, slice(0, _USER_ENTRIES), 0, parents, kinds)
        fixed = {table: frozenset(entries) for table, entries in parents.items()}
        kernel: dict[int, set[int]] = {}
        root = _root(self.program["init_mm"])
        self._collect(root, slice(_USER_ENTRIES, _ENTRIES), 0, kernel, {})
        return Tables(tuple(mapped), fixed, kinds, frozenset(kernel))

    def _entries(self, table: int) -> NDArray[np.uint64]:
        if table not in self._read:
            data = self.program.read(table, _PAGE, physical=True)
            self._read[table] = np.frombuffer(data, dtype="<u8")
        return self._read[table]

    def _of_mapping(self, mapping: Mapping) -> Iterator[Table]:
        yield from self._below(mapping, 0, mapping.root, None, 0)

    def _below(
        self, mapping: Mapping, depth: int, table: int, entry: int | None, base: int
    ) -> Iterator[Table]:
        """A table that translates addresses from ``base`` on, and those below it."""
        level = self.levels[depth]
        shift = self._shift(depth)
        first = max(0, (mapping.start - base) >> shift)
        last = min(_ENTRIES, -(-(mapping.end - base) >> shift))
        entries = self._entries(table)
        present = [i for i in range(first, last) if int(entries[i]) & _PRESENT]
        leaves = [i for i in present if depth == len(self.levels) - 1 or int(entries[i]) & _LEAF]
        yield Table(
            pid=mapping.pid,
            process=mapping.process,
            file=mapping.file,
            level=level,
            address=table,
            entry=entry,
            start=max(mapping.start, base),
            present=len(present),
            leaves=len(leaves),
            users=users(self.program, table) if level == "PMD" else None,
        )
        for i in sorted(set(present) - set(leaves)):
            below = int(entries[i]) & _FRAME
            yield from self._below(
                mapping, depth + 1, below, table + i * _BYTES, base + (i << shift)
            )

    def _collect(
        self,
        table: int,
        part: slice,
        depth: int,
        parents: dict[int, set[int]],
        kinds: dict[int, str],
    ) -> None:
        """All tables below a part of the entries of one."""
        if depth == len(self.levels) - 1:
            return
        entries = self._entries(table)[part]
        pointing = (entries & np.uint64(_PRESENT | _LEAF)) == np.uint64(_PRESENT)
        for i in np.flatnonzero(pointing):
            below = int(entries[i]) & _FRAME
            known = below in parents
            parents.setdefault(below, set()).add(table + (part.start + int(i)) * _BYTES)
            kinds[below] = self.levels[depth + 1]
            if not known:
                self._collect(below, slice(0, _ENTRIES), depth + 1, parents, kinds)

    def _shift(self, depth: int) -> int:
        """Bits of an address below the ones that this level translates."""
        below = len(self.levels) - 1 - depth
        return _SHIFTS["PTE"] + 9 * below


def is_shared(program: drgn.Program, table: int) -> bool:
    """Whether the kernel has a page of PMDs down as one that mappings may share."""
    return _shared(program, table) is not None


def _shared(program: drgn.Program, table: int) -> drgn.Object | None:
    """The kernel's ``struct dax_pt`` of a page of PMDs, if it is one of those."""
    import drgn  # noqa: PLC0415  (optional)
    from drgn.helpers.linux.mm import pfn_to_page  # noqa: PLC0415

    try:
        kind = program.type("struct ptdesc *")
        pointer = drgn.cast(kind, pfn_to_page(program, table // _PAGE)).pt_dax
    except (LookupError, AttributeError):
        return None  # a kernel without the series
    value = pointer.value_()
    return None if not value or value & _NO_POINTER else pointer


def users(program: drgn.Program, table: int) -> int | None:
    """How many PUD entries point to a page of PMDs as the kernel counts, if it may be shared."""
    shared = _shared(program, table)
    if shared is None:
        return None
    # Where users are listed (Linux 7.3), their number has another name.
    names = {member.name for member in program.type("struct dax_pt").members or ()}
    return int(shared.nr_users if "nr_users" in names else shared.users)


def _address_spaces(
    program: drgn.Program,
) -> Iterator[tuple[int, str, drgn.Object, int]]:
    """Each address space once: a process that has it, and the physical address of its PGD."""
    from drgn.helpers.linux.pid import for_each_task  # noqa: PLC0415  (optional)

    seen: set[int] = set()
    for task in for_each_task(program):
        mm = task.mm
        if not mm or int(mm) in seen:
            continue
        seen.add(int(mm))
        name = task.comm.string_().decode("utf-8", "replace")
        yield int(task.tgid), name, mm, _root(mm)


def _hidden(program: drgn.Program) -> Iterator[int]:
    """PGDs of address spaces that no task has: the one in which the kernel patches its code."""
    for name in ("poking_mm", "text_poke_mm"):  # the second since Linux 6.16
        with contextlib.suppress(LookupError):
            yield _root(program[name])


def _root(mm: drgn.Object) -> int:
    """The physical address of the PGD of an address space, or of a pointer to one."""
    from drgn.helpers.linux.mm import follow_phys  # noqa: PLC0415  (optional)

    # Not virt_to_phys(): that of the kernel is in its image, and not in the map of all memory.
    return int(follow_phys(mm.prog_["init_mm"], mm.pgd))


def _dax_mappings(
    program: drgn.Program, pid: int, name: str, mm: drgn.Object, root: int
) -> Iterator[Mapping]:
    from drgn.helpers.linux.fs import d_path  # noqa: PLC0415  (optional)
    from drgn.helpers.linux.mm import for_each_vma  # noqa: PLC0415

    del program
    for vma in for_each_vma(mm):
        file = vma.vm_file
        if file and int(file.f_inode.i_flags) & _S_DAX:
            path = d_path(file.f_path.address_of_()).decode("utf-8", "replace")
            yield Mapping(pid, name, path, int(vma.vm_start), int(vma.vm_end), root)
