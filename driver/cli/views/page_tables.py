# SPDX-License-Identifier: Apache-2.0
"""Page tables of processes, from the root down, for a terminal."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd
from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from driver.api.inspection import PageTables
from driver.memory.picture import picture
from driver.text import counted

# More tables of PTEs of one page of PMDs are only counted.
_MOST_PTES = 2
_Row = dict[Hashable, Any]  # of a table, by column


def page_table_tree(found: PageTables, phases: Sequence[str]) -> RenderableType:
    """Each phase: the tables of each process, and what the kernel counts against what is there."""
    parts: list[RenderableType] = []
    for phase in phases:
        rows = found.tables[found.tables["phase"] == phase]
        tree = Tree(Text(f"phase {phase}", style="bold"))
        for (pid, process), mine in rows.groupby(["pid", "process"], sort=False):
            file = ", ".join(dict.fromkeys(mine["file"]))
            below = tree.add(Text(f"process {pid} ({process}), {file}"))
            _add_tables(below, mine)
        if rows.empty:
            tree.add(Text("no process maps a DAX file"))
        audit = found.audit[found.audit["phase"] == phase]
        wrong = audit[audit["stated"] != audit["found"]]
        for _, one in wrong.iterrows():
            text = f"{one['what']}: the kernel states {one['stated']}, there are {one['found']}"
            tree.add(Text(text, style="red"))
        if wrong.empty:
            stated = counted(len(audit), "number")
            tree.add(Text(f"as in memory: {stated} that the kernel states"))
        parts.append(tree)
    return Group(*parts)


def _add_tables(tree: Tree, rows: pd.DataFrame) -> None:
    """The tables of one process below each other, as their entries point."""
    inside: dict[int, Tree] = {}
    skipped: dict[int, int] = {}
    for row in rows.to_dict("records"):
        parent = tree
        if row["entry_at"]:
            page = int(row["entry_at"], 16) & ~0xFFF
            parent = inside.get(page, tree)
            if row["level"] == "PTE":
                skipped[page] = skipped.get(page, 0) + 1
                if skipped[page] > _MOST_PTES:
                    continue
        inside[int(row["table"], 16)] = parent.add(Text(_line(row)))
    for page, count in skipped.items():
        if count > _MOST_PTES:
            inside[page].add(Text(f"and {count - _MOST_PTES} more pages of PTEs"))


def _line(row: _Row) -> str:
    words = [f"{row['level']} at {row['table']}", f"from {row['start']}"]
    if row["entry_at"]:
        words.append(f"by the entry at {row['entry_at']}")
    words.append(f"{row['present']} entries" + (", mapped" if row["leaves"] else ""))
    if row["users"] != "":
        words.append(f"shared: {row['sharers']} entries point to it, {row['users']} users")
    return ", ".join(words)


def page_table_picture(found: PageTables, phases: Sequence[str]) -> str:
    """An SVG with a panel for each phase."""
    tables = found.tables
    return picture([(phase, tables[tables["phase"] == phase]) for phase in phases])
