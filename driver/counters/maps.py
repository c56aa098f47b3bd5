# SPDX-License-Identifier: Apache-2.0
"""``/proc/PID/maps``: how many mappings a process has, of what, and how large they are.

Cheap to read: unlike smaps it walks no page tables. Valid under every accelerator.
"""

from __future__ import annotations

import re
from collections import Counter

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource

_LINE = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) (?P<mode>[r-][w-][x-][ps])"
    r" [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ (?P<inode>\d+) *(?P<path>.*)"
)


def parse(text: str) -> list[Reading]:
    """``mappings`` and, of each file, ``size:PATH`` in B; ``shared`` are those made MAP_SHARED."""
    counts = Counter({"mappings": 0, "shared": 0})
    sizes: Counter[str] = Counter()
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise UnreadableSource(f"maps: not as in proc_pid_maps(5): {line!r}")
        counts["mappings"] += 1
        counts["shared"] += match["mode"].endswith("s")
        if match["inode"] != "0":
            sizes[match["path"]] += int(match["end"], 16) - int(match["start"], 16)
    if not counts["mappings"]:
        raise UnreadableSource("maps: empty text; the process is gone")
    return [
        *(Reading(name, "mappings", value) for name, value in counts.items()),
        *(Reading(f"size:{path}", "B", value) for path, value in sizes.items()),
    ]


SOURCE = CounterSource(
    name="maps",
    path="maps",
    scope=Scope.PROCESS,
    summary="how many mappings one process has, and of which files",
    parse=parse,
)
