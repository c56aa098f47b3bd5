# SPDX-License-Identifier: Apache-2.0
"""``/proc/kpageflags``: how many physical pages carry each kind of mark.

The guest agent reads the 8-byte flag word of every page frame and sends a histogram, one
``NAME COUNT`` line per kind. ``pgtable`` counts pages whose KPF_PGTABLE bit is set
(include/uapi/linux/kernel-page-flags.h): pages *used as* page tables, found by looking at the
pages themselves. It is therefore an audit of ``PageTables`` in ``/proc/meminfo``, which is
bookkeeping. The two need not be equal (kernel page tables carry the mark too), but their
*changes* must be.

Valid under every accelerator.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource


def parse(text: str) -> list[Reading]:
    """Readings in pages."""
    readings = []
    for line in text.splitlines():
        words = line.split()
        if len(words) != 2 or not words[1].isdecimal():
            raise UnreadableSource(f"kpageflags: not `NAME COUNT`: {line!r}")
        readings.append(Reading(words[0], "pages", int(words[1])))
    if not readings:
        raise UnreadableSource("kpageflags: empty histogram")
    return readings


SOURCE = CounterSource(
    name="kpageflags",
    path="kpageflags",
    scope=Scope.SYSTEM,
    summary="physical pages by what they are used for (an audit of the bookkeeping)",
    parse=parse,
)
