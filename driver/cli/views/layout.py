# SPDX-License-Identifier: Apache-2.0
"""Tables and titles on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

# Wide enough for the tables when standard output is a file or a pipe.
_PLAIN_WIDTH = 100


def console() -> Console:
    """Where tables are printed: standard output, as wide as it is."""
    found = Console(highlight=False)
    return found if found.is_terminal else Console(width=_PLAIN_WIDTH, highlight=False)


def table(*headings: str, roomy: bool = True) -> Table:
    """Rules only where they help; if not ``roomy``, seven columns fit eighty characters.

    Text in a column is folded where there is no room for it.
    """
    made = Table(
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0) if roomy else 0,
    )
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def titled(title: str, content: Table) -> RenderableType:
    """The title is above, not in, the table: a narrow table would break it."""
    return Group(Text(title, style="bold"), content)


def spaced(parts: Sequence[RenderableType]) -> Iterator[RenderableType]:
    """The parts with an empty line between two of them."""
    for index, part in enumerate(parts):
        if index:
            yield Text("")
        yield part
