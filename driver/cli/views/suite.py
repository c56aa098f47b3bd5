# SPDX-License-Identifier: Apache-2.0
"""The results of a test suite on a terminal: programs by kernels, then the cases that differ."""

from __future__ import annotations

from collections import Counter

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from driver.api.suites import Difference, ProgramReport, SuiteResult
from driver.cli.views import layout
from driver.suite.findings import WHOLE
from driver.text import counted, quantity

_SHOWN_DIFFERENCES = 40


def suite_table(result: SuiteResult) -> RenderableType:
    """Everything a person wants to know before opening a file."""
    table = layout.table(roomy=False)
    table.add_column("program", overflow="fold")
    for kernel in result.kernels:
        table.add_column(kernel)
    table.add_column("")
    found = {kernel: result.differences(kernel) for kernel in result.kernels[1:]}
    everything = [each for differences in found.values() for each in differences]
    for program in result.programs:
        table.add_row(
            program,
            *(_cell(result.report(kernel, program)) for kernel in result.kernels),
            _marker([each for each in everything if each.program == program]),
        )
    parts: list[RenderableType] = [table]
    for kernel, differences in found.items():
        if differences:
            title = f"{kernel} against {result.kernels[0]}"
            parts.append(layout.titled(title, _differences(differences)))
    parts.append(_last_line(result))
    return Group(*layout.spaced(parts))


def _cell(report: ProgramReport | None) -> Text:
    if report is None:
        return Text("not run", style="dim")
    whole, *cases = report.cases
    counts = Counter(case.verdict for case in cases)
    words = [f"{counts['ok']}/{len(cases)} ok"] if cases else []
    words += [f"{counts[verdict]} {verdict}" for verdict in ("skip", "not ok") if counts[verdict]]
    if whole.verdict != "ok" or not cases:
        words.append(whole.note or whole.verdict)
    words += [f"{name} {quantity(value, '')}" for name, value in report.counters.items()]
    return Text(", ".join(words))


def _marker(differences: list[Difference]) -> Text:
    if any(each.worse for each in differences):
        return Text("WORSE", style="bold red")
    return Text("better", style="green") if differences else Text("")


def _differences(differences: list[Difference]) -> Table:
    table = layout.table()
    for heading in ("program", "case", "before", "after", "note"):
        table.add_column(heading, overflow="fold")
    # Those that do worse first.
    ordered = sorted(differences, key=lambda each: not each.worse)
    for each in ordered[:_SHOWN_DIFFERENCES]:
        style = "bold red" if each.worse else "green"
        table.add_row(
            each.program, each.case, each.first, Text(each.second, style=style), each.note
        )
    if len(ordered) > _SHOWN_DIFFERENCES:
        table.caption = f"and {len(ordered) - _SHOWN_DIFFERENCES} more"
    return table


def _last_line(result: SuiteResult) -> Text:
    last = [
        report
        for program in result.programs
        if (report := result.report(result.kernels[0], program)) is not None
    ]
    cases = sum(len(report.cases) - 1 for report in last)
    failing = sum(
        case.verdict in ("not ok", "incomplete")
        for report in last
        for case in report.cases
        if case.name != WHOLE
    )
    places = ", ".join(str(run.path) for run in result.runs)
    return Text(
        f"{counted(len(result.programs), 'program')}, {counted(cases, 'case')}; {failing} fail on "
        f"{result.kernels[0]}, {len(result.worse)} do worse elsewhere; all files are in {places}",
        overflow="fold",
    )
