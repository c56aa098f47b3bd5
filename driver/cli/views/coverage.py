# SPDX-License-Identifier: Apache-2.0
"""Coverage of a series, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from driver.api.coverage import FileCoverage
from driver.cli.views import layout


def coverage_table(found: Sequence[FileCoverage], *, missed: bool = False) -> RenderableType:
    """A row for each file, and the sum; with ``missed`` also the lines that were not executed."""
    table = layout.table("file", "lines", "executed", "share", roomy=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for file in found:
        numbers = (str(len(file.lines)), str(len(file.executed)), f"{file.share:.0%}")
        table.add_row(Text(file.path), *numbers)
    lines = sum(len(file.lines) for file in found)
    executed = sum(len(file.executed) for file in found)
    share = f"{executed / lines:.0%}" if lines else ""
    table.add_row(Text("together", style="bold"), str(lines), str(executed), share)
    parts: list[RenderableType] = [table]
    if missed:
        parts += (
            Text(f"{file.path}: {', '.join(_ranges(file.missed))}") for file in found if file.missed
        )
    return Group(*parts)


def _ranges(lines: Sequence[int]) -> Iterator[str]:
    """``12-14`` for neighbours."""
    begin = last = lines[0]
    for line in [*lines[1:], -1]:
        if line == last + 1:
            last = line
            continue
        yield str(begin) if begin == last else f"{begin}-{last}"
        begin = last = line
