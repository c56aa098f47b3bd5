# SPDX-License-Identifier: Apache-2.0
"""Tables of a notebook made fit for a page: plain markup, numbers to the right, text to the left.

pandas writes every cell alike and brings borders and style sheets of its own. A browser cannot tell
a number from a word, so numbers are marked here, once for all notebooks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bs4 import BeautifulSoup, Tag

# 1,234 | -0.5 % | 2.00 MiB | 4 s, also with a sign in front or a range of two behind each other.
_ONE = r"[-\u2212+±~<>≤≥]?\s*\d[\d,.]*(?:e[-+]?\d+)?(?:\s*(?:%|[KMGTP]?i?B|[mµun]?s|times|x))?"
_NUMBER = re.compile(rf"{_ONE}(?:\s*(?:to|\.\.\.|[-\u2013±])\s*{_ONE})?")
# What stands where there is no number says nothing of its column.
_NOTHING = frozenset({"", "-", "\u2013", "\u2014", "nan", "NaN", "NaT", "None", "<NA>", "inf"})
NUMERIC = "n"
# What attributes of a table say something that a style sheet cannot.
_KEPT = frozenset({"colspan", "rowspan", "scope"})


def tidied(html: str) -> str:
    """The page with all its tables made plain; everything else stays as it is."""
    soup = BeautifulSoup(html, "html.parser")
    for table in soup.find_all("table"):
        _make_plain(table)
        _join_headings(table)
        _mark_numbers(table)
        table.wrap(soup.new_tag("div", attrs={"class": "wide"}))
    return str(soup)


def _make_plain(table: Tag) -> None:
    for sheet in table.find_previous_siblings("style"):
        sheet.decompose()
    for tag in (table, *table.find_all(True)):
        tag.attrs = {name: value for name, value in tag.attrs.items() if name in _KEPT}


def _join_headings(table: Tag) -> None:
    """Put the names of the index into the row above, where pandas leaves room for them."""
    rows = table.select("thead > tr")
    if len(rows) < 2:
        return
    *_, above, last = rows
    upper, lower = above.find_all("th"), last.find_all("th")
    if len(upper) != len(lower):
        return
    named = [(here, there) for here, there in zip(lower, upper, strict=True) if _text(here)]
    if any(_text(there) for _, there in named):
        return
    for here, there in named:
        there.string = _text(here)
    last.decompose()


def _mark_numbers(table: Tag) -> None:
    """Give the class ``n`` to every cell of a column of numbers; the first column is a label."""
    cells = list(_placed(table))
    columns: dict[int, list[str]] = {}
    for cell, column in cells:
        if not _heads(cell) and _text(cell) not in _NOTHING:
            columns.setdefault(column, []).append(_text(cell))
    numeric = {
        column
        for column, texts in columns.items()
        if column and all(_NUMBER.fullmatch(text) for text in texts)
    }
    for cell, column in cells:
        if column in numeric:
            cell["class"] = NUMERIC


def _placed(table: Tag) -> Iterator[tuple[Tag, int]]:
    """Every cell and the column it begins in, counting those that reach down from rows above."""
    for part in table.find_all(["thead", "tbody"], recursive=False):
        reaching: dict[int, int] = {}  # column -> rows below that it is taken in
        for row in part.find_all("tr", recursive=False):
            taken = {column for column, rows in reaching.items() if rows}
            reaching = {column: rows - 1 for column, rows in reaching.items() if rows}
            column = 0
            for cell in row.find_all(["td", "th"], recursive=False):
                while column in taken:
                    column += 1
                yield cell, column
                width, height = (int(str(cell.get(name) or 1)) for name in ("colspan", "rowspan"))
                for each in range(column, column + width):
                    reaching[each] = height - 1
                column += width


def _heads(cell: Tag) -> bool:
    return cell.find_parent("thead") is not None


def _text(cell: Tag) -> str:
    return cell.get_text().strip()
