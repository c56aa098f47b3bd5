# SPDX-License-Identifier: Apache-2.0
"""Whether trials repeat, as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from driver.cli.views import layout
from driver.errors import CheckFailed, UserError
from driver.results.directory import RunDirectory
from driver.results.repeatability import Group, repeatability, slowdown
from driver.text import counted, verb
from driver.validity import Accelerator

# What a trial under icount is digested into, in the order of the table.
_DIGESTS = ("console", "result", "nvdimm")


def check_repeatability(runs: Sequence[RunDirectory]) -> None:
    """Print what repeated trials agree in.

    Raises :class:`CheckFailed` if trials under icount differ, and :class:`UserError` if there are
    none to look at.
    """
    groups = repeatability(list(runs))
    if not groups:
        raise UserError(
            "none of these runs has the record of a finished trial",
            hint="The records are in trials/ of each run, and digests and counts with them.",
        )
    layout.console().print(_table(groups))
    exact = [group for group in groups if group.accelerator is Accelerator.ICOUNT]
    broken = [group for group in exact if not group.repeats]
    if broken:
        raise CheckFailed(
            f"{len(broken)} of {counted(len(exact), 'kind')} of trials under icount "
            f"{verb(len(broken), 'does', 'do')} not repeat",
            hint="The digests are in trials/*.json of each run, with what they are of.",
        )


def _table(groups: Sequence[Group]) -> Table:
    table = layout.table()
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
    return table
