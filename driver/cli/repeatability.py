# SPDX-License-Identifier: Apache-2.0
"""``driver repeatability``: do trials repeat to the byte, and what does that cost?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, context, runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from driver.results.repeatability import Group

# What an exact trial is digested into, in the order of the table.
_DIGESTS = ("console", "result", "nvdimm")


def repeatability(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Runs of one experiment; `latest` too.",
            autocompletion=complete.runs,
        ),
    ],
) -> None:
    """Count in how many ways trials that are alike came out.

    Those with the same factors, in one run or in several.

    One digest of everything and one set of counts is what --accel icount promises, whatever else
    the host was doing; status 1 if it is not kept. Trials of other accelerators are counted as
    well. Give a run with --accel tcg besides to see how much slower exact trials are.
    """
    from driver.errors import CheckFailed, UserError  # noqa: PLC0415
    from driver.results.directory import RunDirectory  # noqa: PLC0415
    from driver.results.repeatability import repeatability as group_trials  # noqa: PLC0415
    from driver.validity import Accelerator  # noqa: PLC0415

    results = context.project().results
    # A run may be given by its name and as `latest`.
    found = dict.fromkeys(RunDirectory.find(results, name) for name in names)
    groups = group_trials(list(found))
    if not groups:
        raise UserError(
            "none of these runs has the record of a finished trial",
            hint="The records are in trials/ of each run, and digests and counts with them.",
        )
    runs.console().print(_table(groups))
    exact = [group for group in groups if group.accelerator is Accelerator.ICOUNT]
    broken = [group for group in exact if not group.repeats]
    if broken:
        raise CheckFailed(
            f"{len(broken)} of {len(exact)} kinds of exact trials do not repeat",
            hint="The digests are in trials/*.json of each run, what they are of beside it.",
        )


def _table(groups: Sequence[Group]) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from driver.results.repeatability import slowdown  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    factors = list(groups[0].factors) if groups else []
    for heading in (*factors, "accel"):
        table.add_column(heading, overflow="fold")
    headings = (
        "trials",
        "digests",
        "counts",
        "again",
        "s/trial",
        "slower",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for group in groups:
        seconds, factor = group.median_seconds, slowdown(groups, group)
        table.add_row(
            *(str(group.factors[name]) for name in factors),
            group.accelerator.value,
            str(group.trials),
            " ".join(
                str(len(group.digests[name])) if name in group.digests else "-" for name in _DIGESTS
            ),
            str(len(group.counts)),
            str(group.disturbed),
            "-" if seconds is None else f"{seconds:.2f}",
            "-" if factor is None else f"{factor:.2f}x",
        )
    table.caption = (
        f"digests: how many different ones, of {', '.join(_DIGESTS)}; counts: likewise; "
        "again: run again, being unlike other rounds; s/trial: median, run alone"
    )
    table.caption_justify = "left"
    return table


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("repeatability")(repeatability)
