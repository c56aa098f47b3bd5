# SPDX-License-Identifier: Apache-2.0
"""``driver compare``: did my change to the kernel change the numbers?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, runs

if TYPE_CHECKING:
    from driver.compare.condition import ConditionMet
    from driver.errors import CheckFailed

# An interval that is always right says nothing, and one that is right half of the time likewise.
_LEAST_CONFIDENCE, _MOST_CONFIDENCE = 0.5, 0.999
_MOST_EXAMPLES = 5


def compare(
    first: Annotated[
        str,
        typer.Argument(
            metavar="RUN_A", help="The run to compare with.", autocompletion=complete.runs
        ),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="RUN_B",
            help="The run that may have changed; `latest` too.",
            autocompletion=complete.runs,
        ),
    ],
    *,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="CONDITION",
            help="Exit with 1 if a number changed that much anywhere, from A to B: 'growth>1%' (it "
            "grew by more than 1 %), 'growth<-1%', 'growth>4096' (by more than 4096 of its unit), "
            "'growth!=0' (at all), '*>1%' (any number). Repeatable. A number with a confidence "
            "interval must be beyond the limit with all of it.",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="P",
            min=_LEAST_CONFIDENCE,
            max=_MOST_CONFIDENCE,
            help="Of the intervals that numbers get which vary from repeat to repeat.",
        ),
    ] = 0.95,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every number, also those that did not change.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line per number.")] = False,
) -> None:
    """Compare two runs of one experiment, number by number.

    In every arm, before and after. Numbers that repeat (counts, instructions of an exact run) are
    compared exactly. Numbers that vary get a bootstrap confidence interval of their change. Runs of
    different plans are compared on what they have in common, and the rest is said.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if everything and (as_json or as_csv):
        raise typer.BadParameter("--json and --csv always hold everything; leave --all out")
    from driver.cli.comparison import comparison_table  # noqa: PLC0415  (pandas: half a second)
    from driver.compare import export  # noqa: PLC0415
    from driver.compare.comparison import compare_runs  # noqa: PLC0415
    from driver.compare.condition import findings, parse  # noqa: PLC0415
    from driver.experiment.conclusion import read_conclusion  # noqa: PLC0415

    conditions = [parse(text) for text in fail_on or []]
    comparison = compare_runs(
        *(read_conclusion(runs.find(name)) for name in (first, second)), confidence=confidence
    )
    found = findings(comparison, conditions)
    if as_json:
        typer.echo(export.as_json(comparison, found))
    elif as_csv:
        typer.echo(export.as_csv(comparison), nl=False)
    else:
        runs.console().print(comparison_table(comparison, everything=everything))
    if found:
        raise _failed(found, len(conditions))


def _failed(found: list[ConditionMet], asked: int) -> CheckFailed:
    from driver.compare.numbers import describe  # noqa: PLC0415
    from driver.errors import CheckFailed  # noqa: PLC0415

    lines = []
    for finding in found:
        lines.append(f"{finding.condition.text}: {len(finding.rows)} times")
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
    return CheckFailed(
        f"{len(found)} of {asked} conditions of --fail-on are met", excerpt="\n".join(lines)
    )


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compare")(compare)
