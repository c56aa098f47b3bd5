# SPDX-License-Identifier: Apache-2.0
"""Numbers a workload measures itself and reports with its phases.

There is no text to parse: the guest agent sends name, unit and number. Among them are the
faults of ``getrusage(2)`` (``RUSAGE_SELF`` or ``RUSAGE_CHILDREN``, as the workload says), which are
exact counts under every accelerator.

A value in a unit of time is valid only where the guest's clock is: never under plain TCG, and
under ``exact`` only as a number of instructions, into which the results layer converts it.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource


def parse(text: str) -> list[Reading]:
    """Always raises: a workload's values never arrive as text."""
    raise UnreadableSource(
        f"value: workload values arrive as messages, not as text ({text[:40]!r})"
    )


SOURCE = CounterSource(
    name="value",
    path="",
    scope=Scope.WORKLOAD,
    summary="numbers the workload measured itself: faults, operations, instructions",
    parse=parse,
)
