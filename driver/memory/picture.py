# SPDX-License-Identifier: Apache-2.0
"""Who shares which page tables, drawn: the picture of the 2019 proposal from real memory."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import escape

import pandas as pd

_UPPER = ("PGD", "P4D", "PUD")
_Row = dict[Hashable, Any]  # of a table, by column


@dataclass(frozen=True)
class _Box:
    """A rectangle with lines of text; ``x`` is its middle."""

    x: float
    y: float
    lines: tuple[str, ...]
    shared: bool = False


# Sizes in the units of the drawing.
_WIDTH, _HEIGHT, _GAP, _ROW, _MARGIN = 168, 40, 14, 74, 16
_PANELS = 3
# Panels are at least so many processes wide, for the sake of their titles.
_COLUMNS = 2
_COLOURS = {False: ("#f6f8fa", "#57606a"), True: ("#ddf4ff", "#0969da")}


def picture(moments: Sequence[tuple[str, pd.DataFrame]]) -> str:
    """An SVG with a panel for each moment: its title, and the rows of its page tables.

    Processes are above, the tables that they lead to below. The columns of the rows are those of
    ``page_tables.csv``, as text or as numbers.
    """
    return _draw([_Panel.of(rows, title) for title, rows in moments])


def _draw(panels: Sequence[_Panel]) -> str:
    """Panels in rows, as one SVG."""
    parts = []
    top, widest = 0.0, 0.0
    for begin in range(0, len(panels), _PANELS):
        row = panels[begin : begin + _PANELS]
        left = 0.0
        for panel in row:
            parts.append(f'<g transform="translate({left},{top})">{panel.svg()}</g>')
            left += panel.width
        top += max(panel.height for panel in row)
        widest = max(widest, left)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {widest} {top}" '
        f'width="{widest}" height="{top}" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n'
    )


@dataclass(frozen=True)
class _Panel:
    """One moment: boxes, and lines between them."""

    title: str
    boxes: tuple[_Box, ...]
    lines: tuple[tuple[_Box, _Box], ...]
    columns: int

    @property
    def width(self) -> float:
        return self.columns * (_WIDTH + _GAP) + 2 * _MARGIN

    @property
    def height(self) -> float:
        lowest = max((box.y for box in self.boxes), default=_ROW)
        return lowest + _HEIGHT + 2 * _MARGIN

    @classmethod
    def of(cls, rows: pd.DataFrame, title: str) -> _Panel:
        """The panel of one phase."""
        processes = list(dict.fromkeys(zip(rows["pid"], rows["process"], strict=True)))
        boxes: list[_Box] = []
        lines: list[tuple[_Box, _Box]] = []
        above: dict[str, _Box] = {}
        for column, (pid, process) in enumerate(processes):
            x = _MARGIN + (column + 0.5) * (_WIDTH + _GAP)
            mine = rows[rows["pid"] == pid]
            last = _Box(x, _MARGIN + 22, (f"process {pid}", str(process)))
            boxes.append(last)
            y = last.y
            for level in _UPPER:
                for row in mine[mine["level"] == level].to_dict("records"):
                    y += _ROW
                    box = _Box(x, y, (level, str(row["table"])))
                    boxes.append(box)
                    lines.append((last, box))
                    above[str(row["table"])] = last = box
        y = max((box.y for box in boxes), default=0.0) + _ROW
        for row, middle in _placed(rows, above):
            shared = row["users"] != ""
            users = (
                f", {row['users']} user{'' if int(row['users']) == 1 else 's'}" if shared else ""
            )
            box = _Box(middle, y, (f"page of PMDs{users}", str(row["table"])), shared)
            boxes.append(box)
            same = rows[(rows["table"] == row["table"]) & (rows["level"] == "PMD")]
            lines += [(above[_page(entry)], box) for entry in same["entry_at"]]
            leaf = _Box(middle, y + _ROW, _leaves(rows, row), shared)
            boxes.append(leaf)
            lines.append((box, leaf))
        return cls(title, tuple(boxes), tuple(lines), max(_COLUMNS, len(processes)))

    def svg(self) -> str:
        """The elements of the panel."""
        found = [
            f'<text x="{_MARGIN}" y="{_MARGIN + 2}" font-size="13" font-weight="bold">'
            f"{escape(self.title)}</text>"
        ]
        if not self.boxes:
            found.append(f'<text x="{_MARGIN}" y="{_ROW}">no process maps the file</text>')
        for start, end in self.lines:
            found.append(
                f'<line x1="{start.x}" y1="{start.y + _HEIGHT}" x2="{end.x}" y2="{end.y}" '
                f'stroke="{_COLOURS[end.shared][1]}"/>'
            )
        for box in self.boxes:
            fill, stroke = _COLOURS[box.shared]
            found.append(
                f'<rect x="{box.x - _WIDTH / 2}" y="{box.y}" width="{_WIDTH}" height="{_HEIGHT}" '
                f'rx="4" fill="{fill}" stroke="{stroke}"/>'
            )
            found += (
                f'<text x="{box.x}" y="{box.y + 16 + 15 * number}" text-anchor="middle">'
                f"{escape(line)}</text>"
                for number, line in enumerate(box.lines)
            )
        return "".join(found)


def _placed(rows: pd.DataFrame, above: dict[str, _Box]) -> Iterator[tuple[_Row, float]]:
    """Each page of PMDs once, and where its middle is: between those whose entries point to it."""
    pmds = rows[rows["level"] == "PMD"]
    for _, same in pmds.groupby("table", sort=False):
        over = [above[_page(entry)].x for entry in same["entry_at"]]
        yield same.iloc[0].to_dict(), sum(over) / len(over)


def _page(entry: str) -> str:
    return f"{int(entry, 16) & ~0xFFF:#x}"


def _leaves(rows: pd.DataFrame, pmd: _Row) -> tuple[str, ...]:
    """What a page of PMDs leads to, in the first process that has it."""
    page = int(str(pmd["table"]), 16)
    mine = rows[(rows["pid"] == pmd["pid"]) & (rows["level"] == "PTE")]
    below = [row for row in mine.to_dict("records") if int(row["entry_at"], 16) & ~0xFFF == page]
    lines = []
    if pmd["leaves"]:
        lines.append(f"entries of 2 MiB: {pmd['leaves']}")
    if below:
        entries = sum(row["leaves"] for row in below)
        lines.append(f"pages of PTEs: {len(below)}, entries: {entries}")
    return tuple(lines) or ("nothing yet",)
