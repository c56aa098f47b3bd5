# SPDX-License-Identifier: Apache-2.0
"""``driver doctor``: what is missing on this machine, and the command that installs it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from driver import doctor as examination
from driver.cli import context, views
from driver.errors import HostError


def doctor(
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object, with the commands for every system."),
    ] = False,
) -> None:
    """Check this machine for missing requirements.

    Exits with 3 if a required one is missing. Checks tools, disk, memory, the cache, the kernel
    source and KVM. KVM counts as working only if a guest boots and computes under it, which takes a
    built kernel; none is built for it.
    """
    with context.reporting(silent=as_json) as reporter:
        findings = examination.examine(context.store(reporter), reporter)
    missing = [found for found in findings if found.verdict is examination.CheckStatus.MISSING]
    system = examination.detect()
    if as_json:
        shown = {
            "healthy": not missing,
            "system": system.value if system else None,
            "findings": [found.as_json() for found in findings],
        }
        typer.echo(json.dumps(shown, indent=2))
    else:
        views.print_findings(findings, system)
    if missing:
        # A tool by its name, anything else with what it is about: `cache (writable)`.
        names = ", ".join(
            found.name if found.area == "tools" else f"{found.area} ({found.name})"
            for found in missing
        )
        raise HostError(f"missing on this machine: {names}", hint=views.remedy(findings, system))


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)
