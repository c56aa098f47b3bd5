# SPDX-License-Identifier: Apache-2.0
"""Being a host of a cluster, or its scheduler, until somebody ends it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from driver.cluster.dask_client import RESOURCE
from driver.errors import HostError
from driver.text import counted, reason

if TYPE_CHECKING:
    from distributed.security import Security

_log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Seconds between two attempts to reach a scheduler.
_PAUSE = 2.0
# Besides those for guests, threads that move artifacts: a transfer must not wait for a trial.
_HELPERS = 2
# The dashboard shows every task and its arguments, and asks nobody who they are.
_DASHBOARD = "127.0.0.1:8787"


@dataclass(frozen=True)
class HostOptions:
    """A host as it presents itself: its name, and how many guests it runs at a time."""

    name: str
    guests: int
    scratch: Path

    def nanny(self, security: Security | None) -> dict[str, Any]:
        """The options of Dask's Nanny, which starts the worker process and watches it."""
        return {
            "name": self.name,
            "nthreads": self.guests + _HELPERS,
            "resources": {RESOURCE: self.guests},
            "local_directory": str(self.scratch),
            "memory_limit": 0,  # guests are no children whose memory Dask could see
            "security": security,
            "dashboard": False,
            "dashboard_address": "127.0.0.1:0",
            "silence_logs": False,
        }


def host_name() -> str:
    """What this machine is called, without its domain."""
    return socket.gethostname().partition(".")[0]


def serve_host(
    address: str,
    options: HostOptions,
    security: Security | None,
    *,
    patience: float,
    notify: Callable[[str], None],
) -> None:
    """Run trials for the drivers of the scheduler at ``address``, until a signal arrives.

    A lost connection is made again: whatever ran meanwhile has been ended. Raises
    :class:`HostError` after ``patience`` seconds without a scheduler.
    """
    asyncio.run(_serve_host(address, options, security, patience, notify))


def serve_scheduler(
    host: str, port: int, security: Security | None, *, notify: Callable[[str], None]
) -> None:
    """Be the scheduler of a cluster until a signal arrives."""
    asyncio.run(_serve_scheduler(host, port, security, notify))


async def _serve_host(
    address: str,
    options: HostOptions,
    security: Security | None,
    patience: float,
    notify: Callable[[str], None],
) -> None:
    from distributed import Nanny  # noqa: PLC0415

    stop = _on_signals()
    last_seen = time.monotonic()
    while not stop.is_set():
        try:
            await _reachable(address, security)
            async with Nanny(address, **options.nanny(security)) as nanny:
                notify(
                    f"{options.name} has joined {address}: "
                    f"{counted(options.guests, 'guest')} at a time"
                )
                await _first_of(stop.wait(), nanny.finished())
            last_seen = time.monotonic()
            if not stop.is_set():
                notify(f"the connection to {address} is lost; trying to join again")
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            _log.info("joining %s: %s", address, error)
            if time.monotonic() - last_seen > patience:
                raise HostError(
                    f"no scheduler answers at {address}: {reason(error)}",
                    hint="Check that it runs, and that the keys are those of its cluster.",
                ) from error
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _PAUSE)


async def _reachable(address: str, security: Security | None) -> None:
    """Raise unless a scheduler answers: a nanny would start a process to find out."""
    from distributed.comm.core import connect  # noqa: PLC0415

    arguments = security.get_connection_args("worker") if security else {}
    comm = await connect(address, timeout=10, **arguments)
    await comm.close()


async def _serve_scheduler(
    host: str, port: int, security: Security | None, notify: Callable[[str], None]
) -> None:
    from distributed import Scheduler  # noqa: PLC0415

    stop = _on_signals()
    protocol = "tls" if security else "tcp"
    try:
        scheduler = Scheduler(
            host=host,
            port=port,
            protocol=protocol,
            security=security,
            dashboard_address=_DASHBOARD,
        )
        async with scheduler:
            where = f"{protocol}://{host}:{scheduler.port}"
            notify(f"the scheduler listens at {where}; hosts join with: driver worker {where}")
            await _first_of(stop.wait(), scheduler.finished())
    except OSError as error:
        raise HostError(
            f"the scheduler cannot listen at {host}:{port}: {reason(error)}",
            hint="Choose another port: driver cluster scheduler --port N",
        ) from error
    if not stop.is_set():
        raise HostError(
            "the scheduler ended, and nobody asked it to",
            hint="Start it again; `driver -v` shows its log.",
        )


def _on_signals() -> asyncio.Event:
    """An event that is set when the process is asked to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            loop.add_signal_handler(number, stop.set)
    return stop


async def _first_of(*waiting: Any) -> None:
    """Wait until one is done; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
