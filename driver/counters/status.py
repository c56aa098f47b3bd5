# SPDX-License-Identifier: Apache-2.0
"""``/proc/PID/status``: memory and context switches of one process.

``VmPTE`` is mm->pgtables_bytes: PTE, PMD and PUD pages allocated on behalf of this address
space. A table that belongs to no single address space is not in it, so VmPTE and the
``PageTables`` of ``/proc/meminfo`` answer different questions. ``VmRSS`` and its parts are sums of
per-CPU counters and may lag by some pages per CPU; VmPTE is an atomic count and exact. Since Linux
6.15 VmRSS and ``RssFile`` contain the pages of DAX files that are mapped, before that none of them.

Valid under every accelerator. The context switches depend on scheduling and thus on host load
unless the run is exact.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource, kib_to_bytes

_PLAIN = {
    "Threads": "threads",
    "voluntary_ctxt_switches": "events",
    "nonvoluntary_ctxt_switches": "events",
}


def parse(text: str) -> list[Reading]:
    """Readings in B for every line in kB, and the plain counts listed above."""
    readings = []
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB":
            readings.append(Reading(name, "B", kib_to_bytes("status", line, *words)))
        elif name in _PLAIN and len(words) == 1 and words[0].isdecimal():
            readings.append(Reading(name, _PLAIN[name], int(words[0])))
    if not any(reading.metric == "VmPTE" for reading in readings):
        raise UnreadableSource("status: no VmPTE line; the process is gone or has no memory")
    return readings


SOURCE = CounterSource(
    name="status",
    path="status",
    scope=Scope.PROCESS,
    summary="memory of one process: VmPTE, VmRSS, context switches",
    parse=parse,
)
