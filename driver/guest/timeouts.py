# SPDX-License-Identifier: Apache-2.0
"""The factor by which deadlines grow on slow and busy hosts.

The deadlines in an experiment are for emulation (``tcg``) on two idle processors. Two things make
a healthy guest slower, and both can be measured: the host and its accelerator, by how long the
template of these guests took to boot; and what else the host runs, by its load average.
"""

from __future__ import annotations

import logging
import os

from driver.guest.machine import Machine

_log = logging.getLogger(__name__)

# From QEMU's start to a waiting agent on that host: the upper end of what was measured there
# (2.0 to 2.5 s, QEMU 7.2).
REFERENCE_BOOT_SECONDS = 2.5

# Beyond this a guest is stuck, however busy its host.
_MOST = 40.0


def timeout_scale(machine: Machine, boot_seconds: float, jobs: int = 1) -> float:
    """The factor for the deadlines of a guest of this machine, at this moment.

    ``boot_seconds`` is what its template took, or would have taken, to boot on this host were it
    idle; ``jobs`` guests run at a time. At least 1: deadlines do not shrink on a fast host.
    """
    # While a guest boots one of its processors works, so that the boot says nothing about this:
    # a deterministic guest has one host thread for all of them.
    turns = machine.vcpus if machine.deterministic else 1
    speed = turns * boot_seconds / REFERENCE_BOOT_SECONDS
    planned = jobs * (1 if machine.deterministic else machine.vcpus) / _processors()
    scale = min(_MOST, max(1.0, speed) * max(planned, load_factor()))
    _log.debug("timeouts are multiplied by %.1f: a boot takes %.1f s here", scale, boot_seconds)
    return scale


def load_factor() -> float:
    """Runnable threads per processor of the host, over the last minute; at least 1."""
    return max(1.0, os.getloadavg()[0] / _processors())


def _processors() -> int:
    return len(os.sched_getaffinity(0))
