# SPDX-License-Identifier: Apache-2.0
"""From how many processes and gigabytes on sharing pays, and what would make it not pay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.reply.changing import Changing
from analysis.reply.leaving import Leaving
from analysis.reply.saving import Filling, Tables

# Glisse's example, Bassel's, and what lies between.
EXAMPLES = ((2, 1), (10, 1), (100, 16), (1_000, 128), (10_000, 6 * 1024))


@dataclass(frozen=True)
class Example:
    """So many processes touch all of so many GiB: what they save together, by entry size."""

    processes: int
    gib: int
    bytes: dict[str, float]
    instructions: dict[str, float]


@dataclass(frozen=True)
class BreakEven:
    """``pays_from`` processes save memory and instructions, by either size of entry.

    ``unmapping`` is the part of the later processes that may each unmap a part of a GiB, and
    ``rewriting`` bounds the part of the processes that must write again after each write-back, for
    sharing to cost as many instructions as it saves; both for 2 MiB entries. The lower bound holds
    if a walk without sharing takes as long for a process that has not written as for one that has,
    the upper one if it takes nothing for it.
    """

    examples: list[Example]
    pays_from: int
    unmapping: float
    rewriting: tuple[float, float]


def break_even(
    tables: Mapping[str, Tables],
    filling: Mapping[str, Filling],
    leaving: Leaving,
    changing: Changing,
) -> BreakEven:
    examples = [
        Example(
            processes,
            gib,
            {entry: table.saved(processes, gib) for entry, table in tables.items()},
            {
                entry: gib * ((processes - 1) * fill.saved - fill.extra)
                for entry, fill in filling.items()
            },
        )
        for processes, gib in EXAMPLES
    ]
    return BreakEven(
        examples,
        pays_from=max(fill.pays_from for fill in filling.values()),
        unmapping=leaving.saved / leaving.operations["munmap-part"].lost,
        rewriting=(
            changing.flush_extra() / filling["2M"].fault,
            changing.visit() / filling["2M"].fault,
        ),
    )
