# SPDX-License-Identifier: Apache-2.0
"""The versions of Linux that can be built, and the series for each."""

from __future__ import annotations

import typer

from driver.api.workspace import Workspace
from driver.kernel import series
from driver.kernel.sources import archive, cache
from driver.kernel.sources.source import numeric


def print_kernels(place: Workspace, *, refresh: bool) -> None:
    """For each base its newest version, the suites that have it, and the series for it."""
    project = place.project
    known = archive.catalogue(place.store, place.reporter, refresh=refresh)
    cached = cache.names(place.store, "linux-source-")
    named = {base for name in series.names(project) for base in series.bases(project, name)}
    for base in sorted({*known.bases, *named}, key=numeric):
        offers = known.of(base)
        typer.echo(f"{base:<6}{offers[0].version if offers else 'in no Debian suite'}")
        if offers:
            typer.echo(f"      {', '.join(offers[0].suites)}")
        here = [
            name.partition("_")[2] for name in cached if name.startswith(f"linux-source-{base}_")
        ]
        if here:
            typer.echo(f"      in the cache: {', '.join(here)}")
        patched = [name for name in series.names(project) if base in series.bases(project, name)]
        typer.echo(f"      series: {', '.join([*patched, series.NONE])}")
