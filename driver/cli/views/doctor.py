# SPDX-License-Identifier: Apache-2.0
"""What was found on this machine, as text."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from driver.cli import context
from driver.doctor.examination import one_command
from driver.doctor.finding import CheckStatus, Finding
from driver.doctor.systems import TITLES, System

_MARKS = {
    CheckStatus.OK: ("ok", "32"),
    CheckStatus.NOTE: ("note", "33"),
    CheckStatus.MISSING: ("MISSING", "1;31"),
}


def print_findings(findings: Sequence[Finding], system: System | None) -> None:
    """Area by area, each finding with the command that puts it right on this system, or on all."""
    widest = max(len(found.name) for found in findings)
    area = ""
    for found in findings:
        if found.area != area:
            area = found.area
            typer.echo(context.style(area, "1"))
        mark, code = _MARKS[found.verdict]
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


def remedy(findings: Sequence[Finding], system: System | None) -> str:
    """How to get everything that is missing."""
    command = one_command(findings, system, CheckStatus.MISSING) if system else None
    return f"All tools at once: {command}" if command else "The command for each is above."
