# SPDX-License-Identifier: Apache-2.0
"""``/proc/PID/stat``: page faults and processor time of one process, and of its dead children.

Names and order are those of proc_pid_stat(5). ``minflt`` and ``majflt`` count the faults of the
process, ``cminflt`` and ``cmajflt`` those of children that it has waited for; they are counts, and
valid under every accelerator.

Processor time is in ticks of 10 ms (USER_HZ, 100 on x86-64), of a sum that the scheduler keeps in
nanoseconds. It is refused where guest time is none, and becomes instructions under icount: 1.25
million each 10 ms at the shift 3.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource

_TICK_MS = 10
# Metric, and its place behind the name of the program, which stands in parentheses and may hold
# blanks and parentheses of its own.
_COUNTS = {
    "minflt": (7, "faults"),
    "cminflt": (8, "faults"),
    "majflt": (9, "faults"),
    "cmajflt": (10, "faults"),
    "num_threads": (17, "threads"),
}
_TIMES = {"utime": 11, "stime": 12, "cutime": 13, "cstime": 14}


def parse(text: str) -> list[Reading]:
    """Readings in faults and threads, and times in ms."""
    words = text.rpartition(")")[2].split()
    try:
        counts = [Reading(name, unit, int(words[at])) for name, (at, unit) in _COUNTS.items()]
        times = [Reading(name, "ms", int(words[at]) * _TICK_MS) for name, at in _TIMES.items()]
    except (IndexError, ValueError):
        raise UnreadableSource(f"stat: not as in proc_pid_stat(5): {text[:80]!r}") from None
    return counts + times


SOURCE = CounterSource(
    name="stat",
    path="stat",
    scope=Scope.PROCESS,
    summary="page faults and processor time of one process",
    parse=parse,
)
