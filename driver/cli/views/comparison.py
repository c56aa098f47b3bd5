# SPDX-License-Identifier: Apache-2.0
"""A comparison on a terminal: number by number and arm by arm, then what changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driver.cli.views import layout
from driver.compare.comparison import ComparedRow, Comparison
from driver.compare.condition import ConditionMet
from driver.compare.difference import LEAST_REPEATS, Basis, Change, Difference
from driver.compare.numbers import describe
from driver.text import counted, percent, quantity, signed, verb

# More changed rows of one number say no more than the largest; --all shows them.
_MOST_CHANGES = 8
# So many places where a condition is met fit a message.
_MOST_EXAMPLES = 5


def comparison_table(comparison: Comparison, *, everything: bool = False) -> RenderableType:
    """Everything of a comparison that a person reads, fit for eighty columns."""
    parts: list[RenderableType] = [
        Text(f"A  {comparison.first.run.name}\nB  {comparison.second.run.name}")
    ]
    if comparison.circumstances:
        parts.append(layout.titled("The runs differ in", _circumstances(comparison)))
    if comparison.rows:
        parts.append(layout.titled("Each metric in each arm", _arms(comparison.rows)))
    for name, rows in _by_name(comparison.rows).items():
        shown = rows if everything else _of_interest(rows)
        if shown:
            most = None if everything else _MOST_CHANGES
            title = f"{name}, in {rows[0].quantity.unit}" + ("" if everything else ": what changed")
            parts.append(layout.titled(title, _changes(shown, most)))
    if comparison.unlike or comparison.faults:
        lines = [f"- {said}" for said in (*comparison.unlike, *comparison.faults)]
        parts.append(Text("\n".join(["Whatever the numbers say:", *lines]), style="bold red"))
    remarks = [
        *(f"{name} is not compared: {reason}" for name, reason in comparison.refused.items()),
        *comparison.unmatched,
        *comparison.notes,
    ]
    if remarks:
        parts.append(Text("\n".join(f"- {remark}" for remark in remarks)))
    parts.append(_last_lines(comparison))
    return Group(*layout.spaced(parts))


def _circumstances(comparison: Comparison) -> Table:
    table = layout.table("", "A", "B", roomy=False)
    for item in comparison.circumstances:
        table.add_row(Text(item.what), Text(item.first), Text(item.second))
    return table


def _arms(rows: Sequence[ComparedRow]) -> Table:
    table = layout.table("", "equal", "changed", "unclear", "largest change", roomy=False)
    for column in table.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for name, mine in _by_name(rows).items():
        table.add_row(Text.assemble((name, "bold"), f", in {mine[0].quantity.unit}"))
        arms: dict[str, list[ComparedRow]] = {}
        for row in mine:
            arms.setdefault(describe(row.arm), []).append(row)
        for arm, members in arms.items():
            outcomes = [row.outcome for row in members]
            equal = sum(outcome in (Change.EQUAL, Change.UNSEEN) for outcome in outcomes)
            changed = outcomes.count(Change.CHANGED)
            unclear = len(members) - equal - changed
            largest = next((row.difference for row in _of_interest(members)), None)
            table.add_row(
                f"  {arm or 'all'}",
                f"{equal}",
                Text(f"{changed or ''}", style="yellow"),
                Text(f"{unclear or ''}", style="yellow"),
                _change(largest) if largest and changed else "",
            )
    return table


def _changes(rows: Sequence[ComparedRow], most: int | None) -> Table:
    factors = [name for name, _ in (*rows[0].arm, *rows[0].place)]
    table = layout.table(*factors, "A", "B", "change", "", roomy=False)
    for column in table.columns[len(factors) : -1]:
        column.justify, column.no_wrap = "right", True
    for row in rows[:most]:
        levels = [level for _, level in (*row.arm, *row.place)]
        found = row.difference
        if found is None:
            table.add_row(*levels, "", "", "", f"no value in {row.lacking}")
            continue
        table.add_row(
            *levels,
            quantity(found.first, ""),
            quantity(found.second, ""),
            _change(found),
            Text(_outcome(found), style="yellow" if row.outcome == Change.CHANGED else ""),
        )
    if most is not None and len(rows) > most:
        table.caption = f"and {len(rows) - most} more; --all shows them"
    return table


def _change(found: Difference) -> str:
    return f"{signed(found.change, '')} ({percent(found.relative())})"


def _outcome(found: Difference) -> str:
    """The outcome, and what it rests on."""
    if found.low is not None and found.high is not None:
        low, high = found.low, found.high
        if not found.first:
            return f"{found.outcome}\n{low:+,.4g} to {high:+,.4g}"
        return f"{found.outcome}\n{percent(found.relative(low))} to {percent(found.relative(high))}"
    once = found.basis is Basis.SINGLE and found.outcome is Change.CHANGED
    return f"{found.outcome}{', measured once' if once else ''}"


def _by_name(rows: Sequence[ComparedRow]) -> dict[str, list[ComparedRow]]:
    groups: dict[str, list[ComparedRow]] = {}
    for row in rows:
        groups.setdefault(row.quantity.name, []).append(row)
    return groups


def _of_interest(rows: Sequence[ComparedRow]) -> list[ComparedRow]:
    """What changed, the largest relative change first; then what could not be compared."""
    changed = [
        (-abs(row.difference.relative()), index)
        for index, row in enumerate(rows)
        if row.difference is not None and row.outcome == Change.CHANGED
    ]
    unclear = [row for row in rows if row.outcome in (Change.UNDECIDED, "no value")]
    return [*(rows[index] for _, index in sorted(changed)), *unclear]


def _last_lines(comparison: Comparison) -> Text:
    rows = comparison.rows
    outcomes = ", ".join(
        f"{comparison.count(outcome)} {outcome}"
        for outcome in (*Change, "no value")
        if comparison.count(outcome)
    )
    lines = [
        f"{counted(len(rows), 'value')} compared: {outcomes}"
        if rows
        else "no value can be compared"
    ]
    differences = [row.difference for row in rows if row.difference is not None]
    intervals = sum(found.basis is Basis.INTERVAL for found in differences)
    if intervals:
        lines.append(
            f"{intervals} of them {verb(intervals, 'varies and has', 'vary and have')} an interval "
            f"at {comparison.confidence:.0%} confidence; about "
            f"{intervals * (1 - comparison.confidence):.1f} would show a change by chance alone"
        )
    once = sum(
        found.basis is Basis.SINGLE and found.outcome is Change.CHANGED for found in differences
    )
    if once:
        lines.append(
            f"{once} of the changed ones {verb(once, 'was', 'were')} measured once per run: to "
            f"tell a change from noise, run with --repeat {LEAST_REPEATS} or more"
        )
    if comparison.count(Change.UNDECIDED):
        lines.append(
            f"an undecided value varies and has too few repeats: run with --repeat "
            f"{LEAST_REPEATS} or more"
        )
    return Text("\n".join(lines))


def conditions_met(found: Sequence[ConditionMet]) -> str:
    """Which conditions of --fail-on are met, and where."""
    lines = []
    for finding in found:
        lines.append(f"{finding.condition.text}: {counted(len(finding.rows), 'time')}")
        for row in finding.rows[:_MOST_EXAMPLES]:
            where = describe((*row.arm, *row.place))
            what = (
                f"{row.difference.first:g} -> {row.difference.second:g} {row.quantity.unit}"
                if row.difference
                else f"no value in {row.lacking}"
            )
            lines.append(f"  {row.quantity.name} {where}: {what}")
        if len(finding.rows) > _MOST_EXAMPLES:
            lines.append(f"  and {len(finding.rows) - _MOST_EXAMPLES} more")
    return "\n".join(lines)
