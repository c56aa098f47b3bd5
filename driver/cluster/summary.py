# SPDX-License-Identifier: Apache-2.0
"""What each host of a cluster has contributed to a run, from the run's journal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from driver.cluster.leases import (
    AnyLine,
    Failed,
    HostAdmitted,
    HostRefused,
    Superseded,
    Taken,
)


@dataclass
class HostSummary:
    """One host: attempts whose outcomes were taken, and how long its guests ran, in seconds.

    ``failures`` are leases that became void, ``superseded`` outcomes that came too late;
    ``refused`` says why it may not take part, or not any longer.
    """

    name: str
    slots: int = 0
    processor: str = ""
    qemu: str = ""
    taken: int = 0
    seconds: float = 0.0
    failures: int = 0
    superseded: int = 0
    refused: str = ""


def summarise(journal: Iterable[AnyLine]) -> list[HostSummary]:
    """Every host that the journal names, in order of first appearance."""
    hosts: dict[str, HostSummary] = {}
    for line in journal:
        host = hosts.setdefault(line.host, HostSummary(line.host))
        match line:
            case HostAdmitted():
                host.slots, host.refused = line.slots, ""
                host.processor, host.qemu = line.software.host.cpu, line.software.qemu
            case HostRefused():
                host.refused = line.reason
            case Taken():
                host.taken += 1
                host.seconds += line.seconds
            case Failed():
                host.failures += len(line.tokens)
            case Superseded():
                host.superseded += 1
    return list(hosts.values())
