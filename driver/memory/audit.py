# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts, compared with what is in memory.

All of it is of one moment: counters, flags of pages and page tables of a guest that stands still.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from driver.memory import page_tables
from driver.memory.page_tables import Tables

if TYPE_CHECKING:
    import drgn

    from driver.memory.physical import Segment

_PAGE = 4096
# The type of a page is in the uppermost byte (include/linux/page-flags.h since 6.12).
_TYPE_SHIFT = 24
# Levels whose tables are counted and marked: those above are few, and belong to one process each.
_COUNTED = frozenset({"PUD", "PMD", "PTE"})


@dataclass(frozen=True)
class Finding:
    """A number that the kernel states, and the same as it was found in memory."""

    what: str
    stated: int
    found: int


def audit(program: drgn.Program, tables: Tables, ram: Sequence[Segment]) -> list[Finding]:
    """Compare the kernel's counters, and its flags of pages, with the page tables there are."""
    marked = _marked_pages(program, ram)
    walked = {table for table in tables.parents if tables.levels[table] in _COUNTED}
    found = [
        Finding("PageTables in pages", _node_counter(program, "NR_PAGETABLE") or 0, len(marked)),
        Finding("pages marked as page tables", len(walked & marked), len(walked)),
        Finding("page tables in use", len(marked), len((walked | tables.kernel) & marked)),
    ]
    shared = [table for table in tables.parents if page_tables.is_shared(program, table)]
    below = Counter(entry // _PAGE for entries in tables.parents.values() for entry in entries)
    counted = _node_counter(program, "NR_DAX_PT_SHARED")
    if counted is not None:
        pages = sum(1 + below[table // _PAGE] for table in shared)
        found.append(Finding("SharedPageTables in pages", counted, pages))
    for table in sorted(shared):
        users = page_tables.users(program, table) or 0
        found.append(
            Finding(f"users of the table at {table:#x}", users, len(tables.parents[table]))
        )
    return found


def _marked_pages(program: drgn.Program, ram: Sequence[Segment]) -> set[int]:
    """Addresses of the pages of RAM that are marked as page tables, as /proc/kpageflags has it."""
    from drgn import offsetof  # noqa: PLC0415  (optional)
    from drgn.helpers.linux.mm import pfn_to_page  # noqa: PLC0415

    page = program.type("struct page")
    size = page.size or 0
    offset = offsetof(page, "page_type")
    wanted = int(program["PGTY_table"]) & 0xFF
    found: set[int] = set()
    for segment in ram:
        first = segment.address // _PAGE
        start = int(pfn_to_page(program, first))
        raw = program.read(start, segment.size // _PAGE * size)
        types = np.frombuffer(raw, dtype="<u4")[offset // 4 :: size // 4] >> _TYPE_SHIFT
        found |= {int(first + i) * _PAGE for i in np.flatnonzero(types == wanted)}
    return found


def _node_counter(program: drgn.Program, name: str) -> int | None:
    """A counter of the kernel's nodes, what processors have not added yet included."""
    from drgn.helpers.linux.cpumask import for_each_possible_cpu  # noqa: PLC0415  (optional)
    from drgn.helpers.linux.mmzone import for_each_online_pgdat  # noqa: PLC0415
    from drgn.helpers.linux.percpu import per_cpu_ptr  # noqa: PLC0415

    try:
        item = program[name]
    except LookupError:
        return None  # a kernel without the series
    total = int(program["vm_node_stat"][item].counter)
    for node in for_each_online_pgdat(program):
        for cpu in for_each_possible_cpu(program):
            each = per_cpu_ptr(node.per_cpu_nodestats, cpu)
            total += int(each.vm_node_stat_diff[item])
    return total
