# SPDX-License-Identifier: Apache-2.0
"""``/proc/interrupts``: interrupts taken since boot, summed over the processors.

On x86 ``TLB`` counts the flushes that a processor did because another one asked for it
(irq_tlb_count, from flush_tlb_func() in arch/x86/mm/tlb.c), and ``CAL`` the function calls that it
was interrupted for. Both need a second processor that has the address space loaded; with one
there are none. ``LOC`` are timer ticks, and thus a clock, which means nothing under ``tcg``, where
they are refused.

All others are counts, and valid under every accelerator. How many processors an address space is
loaded on when it is flushed is up to the scheduler, and thus repeats only in an exact run.
"""

from __future__ import annotations

from driver.counters.source import CounterSource, Reading, Scope, UnreadableSource


def parse(text: str) -> list[Reading]:
    """One reading for each line, called as the line is (``TLB``, ``24``): in events, ``LOC`` in
    ticks.
    """
    heading, _, body = text.partition("\n")
    processors = heading.split()
    if not processors or not all(name.startswith("CPU") for name in processors):
        raise UnreadableSource(f"interrupts: the first line names no processors: {heading!r}")
    readings = []
    for line in body.splitlines():
        name, colon, rest = line.partition(":")
        # Some have one count for the whole machine, and what follows the counts is a description.
        counts = rest.split()[: len(processors)]
        numbers = [int(word) for word in counts if word.isdecimal()]
        if not colon or not numbers:
            raise UnreadableSource(f"interrupts: not `NAME: NUMBER ...`: {line!r}")
        name = name.strip()
        readings.append(Reading(name, "ticks" if name == "LOC" else "events", sum(numbers)))
    return readings


SOURCE = CounterSource(
    name="interrupts",
    path="/proc/interrupts",
    scope=Scope.SYSTEM,
    summary="interrupts since boot: TLB shootdowns, function calls, timer ticks",
    parse=parse,
)
