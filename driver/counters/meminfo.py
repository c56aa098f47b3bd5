# SPDX-License-Identifier: Apache-2.0
"""``/proc/meminfo``: memory of the whole guest by use, in bytes.

``PageTables`` is NR_PAGETABLE: every PTE, PMD and PUD page of user page tables, counted when the
page gets its constructor and again when it is freed. The top level (PGD, and P4D with five levels)
is not in it on 6.12, and is on 7.3, where all levels have constructors. Tables shared between
processes are in it once. It is kept per CPU and needs the refresh write to be exact; on 7.3 tables
are freed, and leave it, a grace period after they were given back, which a sample waits for.
``Mapped`` contains mapped pages of DAX files since Linux 6.15.

Valid under every accelerator: these are pages, not times.
"""

from __future__ import annotations

from driver.counters.source import (
    FOLD_STATISTICS,
    CounterSource,
    Reading,
    Scope,
    UnreadableSource,
    kib_to_bytes,
)


def parse(text: str) -> list[Reading]:
    """Readings in B, and in pages for the few lines without a unit (``HugePages_*``)."""
    readings = []
    for line in text.splitlines():
        name, colon, rest = line.partition(":")
        words = rest.split()
        if colon and len(words) == 2:
            readings.append(Reading(name, "B", kib_to_bytes("meminfo", line, *words)))
        elif colon and len(words) == 1 and words[0].isdecimal():
            readings.append(Reading(name, "pages", int(words[0])))
        else:
            raise UnreadableSource(f"meminfo: not `NAME: NUMBER [kB]`: {line!r}")
    if not readings:
        raise UnreadableSource("meminfo: empty text")
    return readings


SOURCE = CounterSource(
    name="meminfo",
    path="/proc/meminfo",
    scope=Scope.SYSTEM,
    summary="memory of the whole guest by use, page tables among it",
    parse=parse,
    refresh=(FOLD_STATISTICS,),
)
