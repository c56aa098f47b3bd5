# SPDX-License-Identifier: Apache-2.0
"""``/proc/vmstat``: pages by state (``nr_*``) and events since boot (all others).

Event counters only grow, so what matters is a difference between two phases; they start where
the guest's boot and provisioning left them. Both kinds are kept per CPU: node and zone counters
need the refresh write, events are summed over CPUs by the kernel when the file is read.

Valid under every accelerator: these are counts, not times.
"""

from __future__ import annotations

from driver.counters.source import FOLD_STATISTICS, CounterSource, Reading, Scope, UnreadableSource


def parse(text: str) -> list[Reading]:
    """Readings in pages for ``nr_*`` and in events for the rest."""
    readings = []
    for line in text.splitlines():
        name, _, number = line.partition(" ")
        try:
            value = int(number)  # a page counter may be briefly negative
        except ValueError:
            raise UnreadableSource(f"vmstat: not `NAME NUMBER`: {line!r}") from None
        readings.append(Reading(name, "pages" if name.startswith("nr_") else "events", value))
    if not readings:
        raise UnreadableSource("vmstat: empty text")
    return readings


SOURCE = CounterSource(
    name="vmstat",
    path="/proc/vmstat",
    scope=Scope.SYSTEM,
    summary="pages by state, and events since boot",
    parse=parse,
    refresh=(FOLD_STATISTICS,),
)
