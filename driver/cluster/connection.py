# SPDX-License-Identifier: Apache-2.0
"""Addresses of schedulers, and what protects the connections to them.

Hosts execute what a scheduler sends them. Who may connect must be known: between hosts TLS
with certificates is the default, and plain TCP has to be asked for. On one machine's loopback plain
TCP is accepted.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from driver.cluster.keys import certificate_of
from driver.errors import HostError, UserError
from driver.text import reason

if TYPE_CHECKING:
    from distributed.security import Security

PORT = 8786  # Dask's default
_INSTALL = "Install it: pip install 'dax-pagetable-driver[cluster]'"

# Seconds after which a silent connection counts as broken, and a host as silent; those of driver,
# scheduler and hosts should be the same. Dask sends ten probes within it, one a second.
SILENCE = max(12.0, float(os.environ.get("DRIVER_CLUSTER_SILENCE") or 30))
_CONFIGURATION = {
    "distributed.comm.timeouts.tcp": f"{SILENCE:.0f}s",
    "distributed.comm.timeouts.connect": "10s",
    # The statistical profiler wakes every 10 ms on every host, and nobody reads it.
    "distributed.worker.profile.enabled": False,
    # Guests' memory is not the worker's, and a host may be busy: no warnings of event loops.
    "distributed.admin.tick.limit": "60s",
}


def configure() -> None:
    """Set what a cluster needs of Dask; raises :class:`UserError` if that is not installed.

    Called before anything of Dask.distributed is imported: it sets up its logging then.
    """
    try:
        import dask.config  # noqa: PLC0415
    except ImportError:
        raise UserError("Dask.distributed is not installed", hint=_INSTALL) from None
    level = "info" if logging.getLogger("driver").isEnabledFor(logging.INFO) else "critical"
    dask.config.set({**_CONFIGURATION, "logging": {"distributed": level, "tornado": "critical"}})
    os.environ.setdefault("DASK_LOGGING__DISTRIBUTED", level)  # of worker processes
    try:
        import distributed  # noqa: F401, PLC0415
    except ImportError:
        raise UserError("Dask.distributed is not installed", hint=_INSTALL) from None


def security(
    address: str,
    *,
    role: str,
    keys: Path | None,
    insecure: bool,
    notify: Callable[[str], None],
) -> Security | None:
    """What protects connections to, or at, an address; None for plain TCP.

    ``role`` is ``driver``, ``scheduler`` or ``worker``; ``keys`` the folder of
    :mod:`driver.cluster.keys`. Raises :class:`UserError` for an address that is none, for TLS
    without keys, and for plain TCP to another host unless ``insecure``.
    """
    scheme, host, _ = parse(address)
    if scheme == "tls":
        if keys is None:
            raise UserError(
                f"{address} needs keys, and none were named",
                hint="Name the folder that `driver cluster keys DIR` made: --keys DIR.",
            )
        return _tls(keys, role)
    if keys is not None:
        raise UserError(
            f"{address} would not use the keys of {keys}",
            hint=f"Write tls://{address.removeprefix('tcp://')}, or leave --keys out.",
        )
    if not is_loopback(host):
        if not insecure:
            raise UserError(
                f"anybody who reaches {address} could run programs on every host of the cluster",
                hint="Use tls:// and --keys DIR, which `driver cluster keys DIR` makes, or, on a "
                "network that you trust, --insecure.",
            )
        notify(f"{address} is not protected: anybody who reaches it can run programs on every host")
    return None


def parse(address: str) -> tuple[str, str, int]:
    """Scheme, host and port of ``tcp://HOST:PORT`` or ``tls://HOST:PORT``."""
    try:
        parts = urlsplit(address)
        port = parts.port if parts.port is not None else PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("tcp", "tls") or not parts.hostname or parts.path not in ("", "/"):
        raise UserError(
            f"{address!r} is not the address of a scheduler",
            hint=f"Write it as tls://HOST:{PORT}, or tcp://127.0.0.1:{PORT} on one machine.",
        )
    return parts.scheme, parts.hostname, port


def is_loopback(host: str) -> bool:
    """Whether a name or address leads to this machine only; raises :class:`HostError` for a name
    that nobody knows.
    """
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
    except socket.gaierror as error:
        raise HostError(
            f"there is no host called {host}: {reason(error)}",
            hint=f"Check the name: getent hosts {shlex.quote(host)}",
        ) from error
    return all(ipaddress.ip_address(str(each).partition("%")[0]).is_loopback for each in found)


def _tls(keys: Path, role: str) -> Security:
    from distributed.security import Security  # noqa: PLC0415

    authority, certificate = certificate_of(keys, role)
    names = {"driver": "client", "scheduler": "scheduler", "worker": "worker"}
    # A host's nanny and worker connect to each other and to the scheduler, all with one key.
    roles = {f"tls_{names[role]}_cert": str(certificate)}
    return Security(tls_ca_file=str(authority), require_encryption=True, **roles)
