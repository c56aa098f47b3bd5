# SPDX-License-Identifier: Apache-2.0
"""What changed by function, for a terminal and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from driver.cli.views import layout
from driver.compare.functions import WindowChange

# Changes below it, in instructions per window or call, are those of timer interrupts.
_LEAST = 0.5
_MOST_FUNCTIONS = 12
COLUMNS = (
    "arm", "phase", "times_a", "times_b", "space", "function", "instructions_a",
    "instructions_b", "change", "calls_a", "calls_b",
)  # fmt: skip


def function_changes(
    found: Sequence[WindowChange], *, per: str | None = None, everything: bool = False
) -> RenderableType:
    """A table for each phase of each arm in which anything changed; ``per`` as it was compared."""
    parts: list[RenderableType] = []
    for window in found:
        shown = [
            one
            for one in window.functions
            if one.change and (everything or abs(one.change) >= _LEAST)
        ]
        if not shown and not everything:
            continue
        shown = shown if everything else shown[:_MOST_FUNCTIONS]
        table = layout.table("function", "A", "B", "change", "calls", roomy=False)
        for column in table.columns[1:]:
            column.justify, column.no_wrap = "right", True
        for one in shown:
            name = one.function if one.space == "kernel" else f"{one.function} (user)"
            calls = f"{one.first_calls:,.2f} -> {one.second_calls:,.2f}"
            if f"{one.first_calls:.2f}" == f"{one.second_calls:.2f}":
                calls = f"{one.first_calls:,.2f}"
            numbers = (f"{one.first:,.1f}", f"{one.second:,.1f}", f"{one.change:+,.1f}")
            table.add_row(Text(name), *numbers, calls)
        rest = window.change - sum(one.change for one in shown)
        table.add_row("all others", "", "", f"{rest:+,.1f}", "")
        table.add_row(Text("together", style="bold"), "", "", f"{window.change:+,.1f}", "")
        a, b = window.times
        times = f"{a:,.0f}" if a == b else f"{a:,.0f} and {b:,.0f}"
        what = f"call of {per}" if per else "measured window"
        arm = window.arm or "all arms"
        title = f"{arm}\nphase {window.phase}: instructions per {what}, of {times}"
        parts.append(layout.titled(title, table))
    if not parts:
        return Text(f"no function changed by {_LEAST} instructions; --all shows the rest")
    return Group(*layout.spaced(parts))


def function_changes_csv(found: Sequence[WindowChange]) -> str:
    """Every function of every window."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for window in found:
        for one in window.functions:
            writer.writerow(
                [
                    window.arm, window.phase, *window.times, one.space, one.function, one.first,
                    one.second, one.change, one.first_calls, one.second_calls,
                ]
            )  # fmt: skip
    return text.getvalue()
