# SPDX-License-Identifier: Apache-2.0
"""``driver doctor``: what this machine lacks, and the command that mends it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import context
from driver.errors import HostError

if TYPE_CHECKING:
    from driver.doctor import Finding
    from driver.doctor.systems import System

_MARKS = {"ok": ("ok", "32"), "note": ("note", "33"), "missing": ("MISSING", "1;31")}


def doctor(
    *,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print one JSON object, with the commands for every system."),
    ] = False,
) -> None:
    """Say what this machine lacks and how to get it.

    Exits with 3 if it is needed. Looks at tools, disk, memory, the cache, the kernel source and
    KVM. KVM is believed only when a guest boots and computes under it, which takes a built kernel;
    nothing is built for it.
    """
    from driver.doctor import CheckStatus, examine  # noqa: PLC0415  (rich and pydantic: 0.2 s)
    from driver.doctor.systems import detect  # noqa: PLC0415

    with context.reporting(silent=as_json) as reporter:
        findings = examine(context.store(reporter), reporter)
    lacking = [found for found in findings if found.verdict is CheckStatus.MISSING]
    system = detect()
    if as_json:
        shown = {
            "healthy": not lacking,
            "system": system.value if system else None,
            "findings": [found.as_json() for found in findings],
        }
        typer.echo(json.dumps(shown, indent=2))
    else:
        _print(findings, system)
    if lacking:
        names = ", ".join(_called(found) for found in lacking)
        raise HostError(f"this machine lacks: {names}", hint=_hint(findings, system))


def _called(found: Finding) -> str:
    """A tool by its name, anything else with what it is about: ``cache (writable)``."""
    return found.name if found.area == "tools" else f"{found.area} ({found.name})"


def _print(findings: Sequence[Finding], system: System | None) -> None:
    from driver.doctor.systems import TITLES  # noqa: PLC0415

    widest = max(len(found.name) for found in findings)
    area = ""
    for found in findings:
        if found.area != area:
            area = found.area
            typer.echo(context.style(area, "1"))
        mark, code = _MARKS[found.verdict.value]
        shown = found.found + (f"  ({found.purpose})" if found.purpose else "")
        typer.echo(f"  {context.style(f'{mark:<7}', code)}  {found.name:<{widest}}  {shown}")
        commands = set(found.remedy.values())
        if len(commands) == 1:
            typer.echo(f"           {commands.pop()}")
        elif system is not None and system in found.remedy:
            typer.echo(f"           {found.remedy[system]}")
        else:
            for each, command in found.remedy.items():
                typer.echo(f"           {TITLES[each]}: {command}")


def _hint(findings: Sequence[Finding], system: System | None) -> str:
    from driver.doctor import CheckStatus  # noqa: PLC0415
    from driver.doctor.examination import one_command  # noqa: PLC0415

    command = one_command(findings, system, CheckStatus.MISSING) if system else None
    return f"All tools at once: {command}" if command else "The command for each is beside it."


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("doctor")(doctor)
