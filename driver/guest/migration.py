# SPDX-License-Identifier: Apache-2.0
"""A guest's state out of QEMU and into another QEMU.

QEMU calls it migration. Memory that files hold is left out (the capability ``x-ignore-shared``),
so that what is written is the state of the devices: some 150 KiB, in some 20 ms.
"""

from __future__ import annotations

import logging
import shlex
import time
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import HostError, UserError
from driver.guest.qmp import Monitor

_log = logging.getLogger(__name__)

# Seconds between two looks at how far it is.
_LOOK_EVERY = 0.002


def save(monitor: Monitor, path: Path, deadline: Deadline) -> None:
    """Write the state of a stopped guest to a file; :class:`HostError` if QEMU cannot."""
    _ignore_shared_memory(monitor, deadline)
    uri = f"exec:cat > {shlex.quote(str(path))}"
    monitor.execute("migrate", {"uri": uri}, deadline=deadline)
    while True:
        answer = monitor.execute("query-migrate", deadline=deadline)
        if answer.get("status") == "completed":
            _log.info("saved the state of the guest to %s", path)
            return
        if answer.get("status") == "failed":
            why = answer.get("error-desc") or "it does not say why"
            raise HostError(f"QEMU cannot save the state of the guest: {why}")
        deadline.check()
        time.sleep(_LOOK_EVERY)


def load(monitor: Monitor, path: Path, deadline: Deadline) -> None:
    """Load a state into a QEMU that was started for it; the guest stays stopped.

    QEMU exits when it does not like the state, which shows as :class:`GuestLost`.
    """
    _ignore_shared_memory(monitor, deadline)
    # QEMU would announce the guest to the network from timers that run on the host's clock, and
    # each of them ends a vCPU's time slice early under icount.
    monitor.execute("migrate-set-parameters", {"announce-rounds": 0}, deadline=deadline)
    uri = f"exec:cat {shlex.quote(str(path))}"
    monitor.execute("migrate-incoming", {"uri": uri}, deadline=deadline)
    while monitor.execute("query-status", deadline=deadline)["status"] == "inmigrate":
        deadline.check()
        time.sleep(_LOOK_EVERY)


def save_nvdimm(monitor: Monitor, path: Path, deadline: Deadline) -> None:
    """Copy what the NVDIMM holds, without its labels, to a file of the same size."""
    for device in monitor.execute("query-memory-devices", deadline=deadline):
        if device["type"] == "nvdimm":
            area = {"val": device["data"]["addr"], "size": device["data"]["size"]}
            monitor.execute("pmemsave", {**area, "filename": str(path)}, deadline=deadline)
            return
    raise UserError("the guest has no NVDIMM to copy", hint="Start it with nvdimm_mib=1152.")


def dump(monitor: Monitor, path: Path, deadline: Deadline) -> None:
    """Stop the guest and write its memory to a file, in the format of kdump, compressed by zlib."""
    monitor.execute("stop", deadline=deadline)
    unfinished = path.with_name(f".{path.name}.unfinished")
    arguments = {"paging": False, "protocol": f"file:{unfinished}", "format": "kdump-zlib"}
    try:
        monitor.execute("dump-guest-memory", arguments, deadline=deadline)
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    _log.info("dumped the memory of the guest to %s", path)


def _ignore_shared_memory(monitor: Monitor, deadline: Deadline) -> None:
    # QEMU 7.2 knows no option for it on the command line. The prefix says "experimental", hence
    # the cold boot that templates fall back to.
    wanted = [{"capability": "x-ignore-shared", "state": True}]
    monitor.execute("migrate-set-capabilities", {"capabilities": wanted}, deadline=deadline)
