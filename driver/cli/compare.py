# SPDX-License-Identifier: Apache-2.0
"""``driver compare``: did a change to the kernel change the numbers?"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from driver import api
from driver.cli import complete, context, options, views
from driver.errors import CheckFailed
from driver.text import share, verb

if TYPE_CHECKING:
    from driver.api import Condition, ConditionMet


def compare(
    first: Annotated[
        str,
        typer.Argument(metavar="RUN_A", help="The baseline run.", autocompletion=complete.runs),
    ],
    second: Annotated[
        str,
        typer.Argument(
            metavar="RUN_B",
            help="The run to compare with it; `latest` is the newest.",
            autocompletion=complete.runs,
        ),
    ],
    *,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="CONDITION",
            help="Exit with 1 if any value of a metric changed this much from A to B: 'growth>1%' "
            "(grew by more than 1 %), 'growth<-1%', 'growth>4096' (by more than 4096 of its unit), "
            "'growth!=0' (at all), '*>1%' (any metric). Repeatable. Of a metric with a confidence "
            "interval, all of the interval must exceed the limit.",
        ),
    ] = None,
    confidence: Annotated[
        float,
        typer.Option(
            metavar="P",
            help="Confidence level for metrics that vary between repeats, from 0.5 to 0.999.",
        ),
    ] = 0.95,
    allow_splat: options.AllowSplat = None,
    functions: Annotated[
        bool,
        typer.Option(
            "--functions",
            help="Show instead what changed by function of the kernel, in the instructions that "
            "the workload measures. For runs made with --instrument functions.",
        ),
    ] = False,
    per: Annotated[
        str | None,
        typer.Option(
            metavar="FUNCTION",
            help="With --functions: divide by the calls of this function, such as handle_mm_fault, "
            "and not by the number of measured windows.",
        ),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Show every metric, including unchanged ones.")
    ] = False,
    as_json: options.AsJson = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print one line per value.")] = False,
) -> None:
    """Compare two runs of one experiment, metric by metric.

    In every arm, before and after. Metrics that repeat (counts, instructions under icount) are
    compared exactly. Metrics that vary get a bootstrap confidence interval of their change. Runs of
    different plans are compared on the trials they share; the rest is listed. A trial that both
    planned and only one has finished is a difference: the exit status is 1. So is a fault of the
    kernel or the workload in any attempt of either, with the status that `driver show` has.
    """
    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv exclude each other")
    if everything and (as_json or as_csv):
        raise typer.BadParameter("--json and --csv always include everything; leave --all out")
    if functions or per is not None:
        if as_json or fail_on or not functions:
            raise typer.BadParameter(
                "--functions takes neither --json nor --fail-on"
                if functions
                else "--per goes with --functions"
            )
        _compare_functions(first, second, per, as_csv=as_csv, everything=everything)
        return
    conditions = [api.parse_condition(text) for text in fail_on or []]
    place = context.workspace_of(first, second)
    sides = [
        api.read_run(name, workspace=place).allowing(allow_splat or ()) for name in (first, second)
    ]
    comparison = api.compare_runs(*sides, confidence=confidence, workspace=place)
    complaint = comparison.complaint()
    if not (complaint and not comparison.rows):  # conditions about nothing are its consequence
        met = api.conditions_met(comparison, conditions)
    else:
        met = []
    if as_json:
        typer.echo(api.comparison_as_json(comparison, met))
    elif as_csv:
        typer.echo(api.comparison_as_csv(comparison), nl=False)
    else:
        views.console().print(views.comparison_table(comparison, everything=everything))
    if complaint is not None:
        if met:
            complaint.message += f"; {_met(met, conditions)}"
        raise complaint
    if met:
        raise CheckFailed(
            _met(met, conditions),
            excerpt=views.conditions_met(met),
            hint=f"See every value: driver compare {shlex.join((first, second))} --all",
        )


def _met(met: Sequence[ConditionMet], conditions: Sequence[Condition]) -> str:
    found = share(len(met), len(conditions), "condition")
    return f"{found} of --fail-on {verb(len(met), 'is', 'are')} met"


def _compare_functions(
    first: str, second: str, per: str | None, *, as_csv: bool, everything: bool
) -> None:
    found = api.compare_functions(
        first, second, per=per, workspace=context.workspace_of(first, second)
    )
    if as_csv:
        typer.echo(views.function_changes_csv(found), nl=False)
    else:
        views.console().print(views.function_changes(found, per=per, everything=everything))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("compare")(compare)
