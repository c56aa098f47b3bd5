# SPDX-License-Identifier: Apache-2.0
"""From what ``--cluster`` names to a connection: a scheduler that runs, or one started now."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from driver.cluster import connection
from driver.cluster.dask_client import RESOURCE, DaskClient
from driver.cluster.serve import HostOptions
from driver.errors import HostError, UserError
from driver.store import Store
from driver.text import reason
from driver.tomlfile import validated

if TYPE_CHECKING:
    from distributed.security import Security

_log = logging.getLogger(__name__)

_CONNECT_SECONDS = 30
_MANUAL = "docs/how-to/use-several-machines.md describes the file."
_LOCAL, _SSH = "local:", "ssh:"
_HELPERS = 2
_SSH_PORT = 22
# SSHCluster waits until a scheduler and workers have logged where they are, at this level.
_TALKATIVE = {"logging.distributed": "info"}


@dataclass(frozen=True)
class ClusterOptions:
    """A cluster as a person names it.

    ``spec`` is ``tcp://HOST:PORT``, ``tls://HOST:PORT``, ``local:N`` or ``ssh:FILE``; ``keys`` the
    folder of keys; ``insecure`` accepts plain TCP between machines.
    """

    spec: str
    keys: Path | None = None
    insecure: bool = False


class SshHosts(BaseModel):
    """Hosts that are reached by SSH, without a password; the first also runs the scheduler.

    ``python`` is the interpreter of the driver's environment there, ``guests`` how many guests
    each runs at a time, ``keys`` the folder of keys there.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: list[str] = Field(min_length=1)
    python: str | None = None
    guests: int = Field(1, ge=1)
    user: str | None = None
    port: int = _SSH_PORT
    keys: str | None = None

    def login(self, host: str) -> str:
        """A command that logs in on a host."""
        port = [] if self.port == _SSH_PORT else ["-p", str(self.port)]
        return shlex.join(["ssh", *port, f"{self.user}@{host}" if self.user else host])


@contextmanager
def connected(
    options: ClusterOptions, store: Store, notify: Callable[[str], None]
) -> Iterator[DaskClient]:
    """A connection to the cluster; what was started for it ends with it.

    Raises :class:`UserError` for a cluster that cannot be meant, and :class:`HostError` for one
    that does not answer.
    """
    connection.configure()
    with ExitStack() as undo:
        if options.spec.startswith(_LOCAL):
            address, security = undo.enter_context(_local(options, store))
        elif options.spec.startswith(_SSH):
            address, security = undo.enter_context(_ssh(options, notify))
        else:
            address = options.spec
            security = connection.security(
                address,
                role="driver",
                keys=options.keys,
                insecure=options.insecure,
                notify=notify,
            )
        yield undo.enter_context(_client(address, security))


@contextmanager
def _client(address: str, security: Security | None) -> Iterator[DaskClient]:
    from distributed import Client  # noqa: PLC0415

    try:
        client = Client(
            address,
            security=security,
            set_as_default=False,
            timeout=_CONNECT_SECONDS,
            # What hosts answer is bytes: nothing else of theirs is read here.
            deserializers=["msgpack", "error"],
        )
    except (OSError, TimeoutError, ValueError, RuntimeError) as error:
        raise HostError(
            f"no scheduler answers at {address}: {reason(error)}",
            hint="Check that the keys are those of its cluster, or start one: "
            "driver cluster scheduler",
        ) from error
    try:
        yield DaskClient(client, address)
    finally:
        client.close(timeout=5)


@contextmanager
def _local(options: ClusterOptions, store: Store) -> Iterator[tuple[str, None]]:
    """So many workers on this machine, each with a cache of its own."""
    import dask  # noqa: PLC0415
    from distributed import Nanny, Scheduler  # noqa: PLC0415
    from distributed.deploy.spec import SpecCluster  # noqa: PLC0415

    text = options.spec.removeprefix(_LOCAL)
    if not text.isdecimal() or not 1 <= int(text) <= 64:
        raise UserError(
            f"--cluster {options.spec}: {text!r} is not a number of workers from 1 to 64",
            hint="Write it as in --cluster local:3.",
        )
    workers: dict[str, Any] = {}
    for number in range(1, int(text) + 1):
        cache = store.scratch("local-hosts", str(number))
        host = HostOptions(f"local-{number}", 1, cache / "scratch/dask")
        arguments = host.nanny(None) | {"env": {"DRIVER_CACHE": str(cache)}}
        workers[host.name] = {"cls": Nanny, "options": arguments}
    scheduler = {
        "cls": Scheduler,
        "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"},
    }
    # The scheduler takes this one. A driver that is killed leaves it, so it is in the cache.
    scratch = {"temporary-directory": str(store.scratch("cluster", "dask"))}
    with (
        dask.config.set(scratch),
        SpecCluster(workers=workers, scheduler=scheduler, silence_logs=False) as cluster,
    ):
        yield cluster.scheduler_address, None


@contextmanager
def _ssh(
    options: ClusterOptions, notify: Callable[[str], None]
) -> Iterator[tuple[str, Security | None]]:
    """Dask's SSHCluster: a scheduler on the first host, a worker on each."""
    import dask.config  # noqa: PLC0415
    from distributed import SSHCluster  # noqa: PLC0415

    path = Path(options.spec.removeprefix(_SSH))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {reason(error)}", hint=_MANUAL) from error
    listed = validated(path, text, SshHosts, _MANUAL)
    tls = options.keys is not None or listed.keys is not None
    for host in listed.hosts:
        security = connection.security(
            f"{'tls' if tls else 'tcp'}://{host}",
            role="driver",
            keys=options.keys,
            insecure=options.insecure,
            notify=notify,
        )
    there = _tls_there(listed.keys or str(options.keys)) if tls else {}
    with dask.config.set({**there, **_TALKATIVE}):
        try:
            cluster = SSHCluster(
                [listed.hosts[0], *listed.hosts],
                connect_options={"port": listed.port, "connect_timeout": _CONNECT_SECONDS}
                | ({"username": listed.user} if listed.user else {}),
                worker_options={
                    "nthreads": listed.guests + _HELPERS,
                    "resources": {RESOURCE: listed.guests},
                    "memory_limit": 0,
                },
                scheduler_options={"port": 0, "protocol": "tls" if tls else "tcp"},
                remote_python=listed.python,
                security=security,
            )
        except Exception as error:  # asyncssh's errors are of many kinds
            raise HostError(
                f"cannot start the hosts of {path} by SSH: {reason(error)}",
                hint="Check that this works without a password: "
                f"{listed.login(listed.hosts[0])} true",
            ) from error
    with cluster:
        yield cluster.scheduler_address, security


def _tls_there(folder: str) -> dict[str, Any]:
    """Dask's settings for hosts that are sent them: files of theirs."""
    where = Path(folder)
    roles = {"scheduler": "scheduler", "worker": "worker", "client": "driver"}
    tls = "distributed.comm.tls"
    return {
        f"{tls}.ca-file": str(where / "ca.pem"),
        "distributed.comm.require-encryption": True,
        **{f"{tls}.{role}.cert": str(where / f"{name}.pem") for role, name in roles.items()},
    }
