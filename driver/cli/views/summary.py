# SPDX-License-Identifier: Apache-2.0
"""A finished run on a terminal: what was measured, next to what was expected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driver.cli.views import layout
from driver.cli.views.hosts import hosts_of
from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import Experiment, Fit, SummaryTable
from driver.experiment.measured import MeasuredTrial
from driver.experiment.summary import grid, order
from driver.experiment.verdicts import CheckRow
from driver.results.verdict import CONFIRMED, FAILS, HOLDS, REFUTED
from driver.text import quantity, share, verb

# More failing rows of one check say no more than these do; all of them are in checks.csv.
_FAILURES_OF_A_CHECK = 6
_STYLES = {HOLDS: "green", CONFIRMED: "green", FAILS: "bold red", REFUTED: "yellow"}


def summary(conclusion: Conclusion) -> RenderableType:
    """Everything a person wants to know before opening a file."""
    experiment, verdicts = conclusion.experiment, conclusion.verdicts
    trials = conclusion.trials
    parts: list[RenderableType] = []
    if trials:
        parts += [_summary_table(experiment, table, trials) for table in experiment.summary_tables]
    for fit in experiment.fits:
        rows = verdicts.of("fit", fit.name)
        rows.sort(key=lambda row: order(experiment, row.levels))
        if rows:
            parts.append(layout.titled(fit.claim, _fit(fit, rows)))
    if experiment.predictions:
        parts.append(layout.titled("Predictions", _predictions(experiment, verdicts.predictions)))
    if verdicts.failures:
        parts.append(layout.titled("Checks that do not hold", _failures(verdicts.failures)))
    parts += hosts_of(conclusion.directory)
    parts.append(_last_line(conclusion))
    return Group(*layout.spaced(parts))


def _summary_table(
    experiment: Experiment, wanted: SummaryTable, trials: Sequence[MeasuredTrial]
) -> RenderableType:
    found = grid(experiment, wanted, trials)
    table = layout.table(roomy=False)
    heading, *labels = _align([found.headings, *(labels for labels, _ in found.rows)])
    table.add_column(heading, no_wrap=True)
    for column in found.columns:
        table.add_column(column, justify="right", no_wrap=True)
    for label, (_, cells) in zip(labels, found.rows, strict=True):
        table.add_row(label, *cells)
    return layout.titled(found.title, table)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """One string per row, its words in columns: narrower than as many columns of a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _fit(fit: Fit, rows: Sequence[CheckRow]) -> Table:
    table = layout.table()
    for name in fit.by:
        table.add_column(name)
    for heading in ("measured", "theory"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row in rows:
        table.add_row(
            *(str(level) for level in row.levels.values()),
            quantity(row.measured, row.unit),
            quantity(row.expected, row.unit),
            Text(row.verdict, style=_STYLES.get(row.verdict, "")),
        )
    return table


def _predictions(experiment: Experiment, verdicts: dict[str, str]) -> Table:
    table = layout.table()
    table.add_column("prediction")
    table.add_column("verdict")
    for item in experiment.predictions:
        verdict = verdicts[item.name]
        refuted = verdict == REFUTED and item.finding
        text = f"{item.claim}\n  {item.finding}" if refuted else item.claim
        table.add_row(text, Text(verdict, style=_STYLES.get(verdict, "")))
    return table


def _failures(rows: Sequence[CheckRow]) -> Table:
    table = layout.table()
    for heading in ("check", "where", "measured", "expected", "allowed difference"):
        table.add_column(heading, overflow="fold")
    shown: Counter[str] = Counter()
    for row in rows:
        shown[row.name] += 1
        if shown[row.name] <= _FAILURES_OF_A_CHECK:
            table.add_row(
                row.name,
                row.subject,
                row.reason or quantity(row.measured, row.unit),
                quantity(row.expected, row.unit),
                quantity(row.allowed, row.unit),
            )
    left_out = sum(max(0, count - _FAILURES_OF_A_CHECK) for count in shown.values())
    if left_out:
        table.caption = f"and {left_out} more"
    return table


def _last_line(conclusion: Conclusion) -> Text:
    verdicts = conclusion.verdicts
    held = len(verdicts.asserted) - len(verdicts.failures)
    trials = conclusion.run.trials
    said = [
        f"{share(len(conclusion.run.finished), len(trials), 'trial')} finished, "
        f"{share(held, len(verdicts.asserted), 'check')} {verb(held, 'holds', 'hold')}",
        *conclusion.faults.sentences(),
        f"all files are in {conclusion.directory.path}",
    ]
    return Text("; ".join(said), overflow="fold")
