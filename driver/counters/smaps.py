# SPDX-License-Identifier: Apache-2.0
"""``/proc/PID/smaps``: what one process maps, file by file, in bytes.

The lines of all mappings of a file are summed: ``Rss:/mnt/dax/data``. What belongs to no file has
the kernel's name for it (``Rss:[heap]``), or none (``Rss:``). smaps_rollup has the sums over all
mappings, and what is said there of the cost and of DAX files holds here, too. ``FilePmdMapped`` is
what is mapped by entries of 2 MiB, of pages that the kernel counts.

Valid under every accelerator.
"""

from __future__ import annotations

import re
from collections import Counter

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource, kib_to_bytes

_HEAD = re.compile(r"[0-9a-f]+-[0-9a-f]+ [r-][w-][x-][ps] [0-9a-f]+ [0-9a-f]+:[0-9a-f]+ \d+ *(.*)")
_VALUE = re.compile(r"(\w+): +(\d+) (kB)")
# Of one mapping; a sum of them means nothing.
_PAGE_SIZES = ("KernelPageSize", "MMUPageSize")
_FLAGS = re.compile(r"(THPeligible|VmFlags|ProtectionKey):.*")


def parse(text: str) -> list[Reading]:
    """Readings in B, as ``NAME:PATH``."""
    sums: Counter[str] = Counter()
    path: str | None = None
    for line in text.splitlines():
        head, value = _HEAD.fullmatch(line), _VALUE.fullmatch(line)
        if head is not None:
            path = head[1]
        elif path is not None and value is not None:
            if value[1] not in _PAGE_SIZES:
                sums[f"{value[1]}:{path}"] += kib_to_bytes("smaps", line, value[2], value[3])
        elif path is None or not _FLAGS.fullmatch(line):
            raise UnreadableSource(f"smaps: not as in proc_pid_smaps(5): {line!r}")
    if not sums:
        raise UnreadableSource("smaps: empty text; the process is gone")
    return [Reading(name, "B", value) for name, value in sums.items()]


SOURCE = CounterSource(
    name="smaps",
    path="smaps",
    scope=Scope.PROCESS,
    summary="what one process maps, file by file",
    parse=parse,
)
