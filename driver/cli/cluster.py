# SPDX-License-Identifier: Apache-2.0
"""``driver cluster`` and ``driver worker``: keys, a scheduler, and being a host of a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from driver.cli import context, options
from driver.errors import UserError

group = typer.Typer(help="Make keys for a cluster of machines, or run its scheduler.")


@group.command("keys")
def keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new folder for the keys.")],
) -> None:
    """Make the keys and certificates of a cluster.

    Copy the folder to the machines of the cluster. Who has it can run programs on all of them.
    """
    from driver.cluster.keys import make_keys  # noqa: PLC0415  (loaded as it is used)

    for path in make_keys(folder):
        typer.echo(path)


@group.command("scheduler")
def scheduler(
    *,
    host: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen at.  [default: all with --keys, else 127.0.0.1]",
            show_default=False,
        ),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, help="Port to listen at.")] = 8786,
    keys: options.Keys = None,
    insecure: options.Insecure = False,
) -> None:
    """Run the scheduler of a cluster until it is interrupted.

    Hosts and drivers connect to it. Any other scheduler of Dask will do as well.
    """
    from driver.cluster import connection, serve  # noqa: PLC0415

    connection.configure()
    where = host or ("0.0.0.0" if keys else "127.0.0.1")
    with context.reporting() as reporter:
        security = connection.security(
            f"{'tls' if keys else 'tcp'}://{where}",
            role="scheduler",
            keys=keys,
            insecure=insecure,
            notify=reporter.note,
        )
        serve.serve_scheduler(where, port, security, notify=reporter.note)


def worker(
    address: Annotated[
        str, typer.Argument(metavar="ADDRESS", help="The scheduler, e.g. tls://HOST:8786.")
    ],
    *,
    guests: Annotated[
        int, typer.Option(metavar="N", min=1, help="Number of guests run at a time.")
    ] = 1,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of this host.  [default: the machine's name]"),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", min=0, help="How long to try to reach a scheduler that is gone."
        ),
    ] = 600.0,
    keys: options.Keys = None,
    insecure: options.Insecure = False,
) -> None:
    """Join a cluster and run trials for its drivers.

    It does so until it is interrupted. The machine needs QEMU and the same commit of the driver;
    kernels and images are fetched when they are needed.
    """
    from driver.cluster import connection, host, serve  # noqa: PLC0415

    connection.configure()
    if name is not None and not name.strip():
        raise UserError("--name is empty", hint="Leave it out: the machine's name is the default.")
    with context.reporting() as reporter:
        security = connection.security(
            address, role="worker", keys=keys, insecure=insecure, notify=reporter.note
        )
        store = context.store(reporter)
        host.sweep(store)
        serve.serve_host(
            address,
            serve.HostOptions(name or serve.host_name(), guests, store.scratch("cluster", "dask")),
            security,
            patience=wait,
            notify=reporter.note,
        )


def register(app: typer.Typer) -> None:
    """Add these commands to the application."""
    app.add_typer(group, name="cluster")
    app.command("worker")(worker)
