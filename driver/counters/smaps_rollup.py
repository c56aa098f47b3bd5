# SPDX-License-Identifier: Apache-2.0
"""``/proc/PID/smaps_rollup``: what one process maps, summed over its mappings, in bytes.

The kernel walks the page tables to make it, so it shows what is *mapped*, not what the tables
cost. Pages of a DAX file are in it since Linux 6.15. Before that vm_normal_page() had none for a
devmap entry; such entries are gone, and DAX pages are counted like others.

Valid under every accelerator; on large mappings the walk itself costs the guest time, so sample
it only where it is the question.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource, kib_to_bytes


def parse(text: str) -> list[Reading]:
    """Readings in B; the first line, the address range, is skipped."""
    readings = []
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) != 2:
            raise UnreadableSource(f"smaps_rollup: not `NAME: NUMBER kB`: {line!r}")
        readings.append(Reading(name, "B", kib_to_bytes("smaps_rollup", line, *words)))
    if not readings:
        raise UnreadableSource("smaps_rollup: empty text; the process is gone")
    return readings


SOURCE = CounterSource(
    name="smaps_rollup",
    path="smaps_rollup",
    scope=Scope.PROCESS,
    summary="what one process maps, summed over its mappings",
    parse=parse,
)
