# SPDX-License-Identifier: Apache-2.0
"""The hosts of a cluster that ran the trials of a run."""

from __future__ import annotations

from rich.console import RenderableType
from rich.table import Table

from driver.cli.views import layout
from driver.cluster.leases import read_journal
from driver.cluster.summary import summarise
from driver.results.directory import RunDirectory


def hosts_of(run: RunDirectory) -> list[RenderableType]:
    """A table by host, of a run that had several; else nothing."""
    hosts = summarise(read_journal(run))
    if not hosts:
        return []
    table: Table = layout.table()
    table.add_column("host", no_wrap=True)
    for heading in ("attempts", "guest seconds", "host failures", "superseded"):
        table.add_column(heading, justify="right")
    table.add_column("processor", overflow="fold")
    table.add_column("refused or set aside", overflow="fold")
    for host in hosts:
        table.add_row(
            host.name,
            str(host.taken),
            f"{host.seconds:.1f}",
            str(host.failures),
            str(host.superseded),
            host.processor,
            host.refused,
        )
    table.caption = "guest seconds: how long guests ran there; not a measurement"
    return [layout.titled("Hosts", table)]
