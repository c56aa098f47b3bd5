# SPDX-License-Identifier: Apache-2.0
"""What a source of counters is: where its text comes from and how it becomes numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from driver.guest.job import Write
from driver.validity import Accelerator

# The kernel keeps vmstat deltas per CPU and folds them in about once a second
# (vm.stat_interval). A write to this file (Documentation/admin-guide/sysctl/vm.rst) folds them at
# once, so that a reading is exact instead of up to `stat_threshold` pages per CPU off.
FOLD_STATISTICS = Write("/proc/sys/vm/stat_refresh", "1")

# What a kernel counts, it counts whatever executes it.
EVERYWHERE = frozenset(Accelerator)

_BINARY_KILO = 1024  # procfs prints "kB" and means KiB


class Scope(Enum):
    """Whose text it is."""

    SYSTEM = "system"  # one text per phase
    PROCESS = "process"  # one text per phase and sampled worker, below /proc/PID
    WORKLOAD = "workload"  # no text: numbers the workload reports about itself


class UnreadableSource(ValueError):
    """A sampled text is not in the format its source promises."""


@dataclass(frozen=True)
class Reading:
    """One number found in a text, in a unit that :mod:`driver.validity` knows."""

    metric: str
    unit: str
    value: int | float


@dataclass(frozen=True)
class CounterSource:
    """A kind of text the guest agent can copy, or of values a workload can report.

    ``path`` is what the agent is asked for: an absolute path, one of its built-in sources, or
    for :attr:`Scope.PROCESS` a name below ``/proc/PID``. ``refresh`` writes are made before each
    sampling. ``parse`` turns a text into readings and raises :class:`UnreadableSource`.
    ``summary`` is one sentence for listings. ``valid`` are the accelerators under which its
    numbers mean anything; under any other they are refused, and so is, whatever the source, a
    number in a unit that the accelerator cannot measure (:class:`~driver.validity.Validity`).
    """

    name: str
    path: str
    scope: Scope
    summary: str
    parse: Callable[[str], list[Reading]]
    refresh: tuple[Write, ...] = ()
    valid: frozenset[Accelerator] = EVERYWHERE


def kib_to_bytes(source: str, line: str, number: str, unit: str) -> int:
    """Bytes from a procfs ``NUMBER kB`` pair."""
    if unit != "kB" or not number.isdecimal():
        raise UnreadableSource(f"{source}: expected a number of kB in {line!r}")
    return int(number) * _BINARY_KILO
