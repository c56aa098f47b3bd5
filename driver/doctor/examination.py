# SPDX-License-Identifier: Apache-2.0
"""Everything the doctor checks, in the order in which a person would fix it."""

from __future__ import annotations

from collections.abc import Iterable

from driver.doctor.finding import CheckStatus, Finding
from driver.doctor.host import examine_host
from driver.doctor.systems import System, install_command
from driver.doctor.tools import TOOLS, examine_tools
from driver.doctor.watching import examine_instruments
from driver.progress import Reporter
from driver.store import Store


def examine(store: Store, reporter: Reporter) -> list[Finding]:
    """Check this machine; never raises for what it finds."""
    reporter.step("Checking the tools")
    findings = [*examine_tools(), *examine_instruments()]
    reporter.step("Checking disk, memory, cache and KVM")
    return [*findings, *examine_host(store, reporter)]


def one_command(findings: Iterable[Finding], system: System, verdict: CheckStatus) -> str | None:
    """One line that installs all tools of this verdict; None if there are none."""
    absent = {found.name for found in findings if (found.area, found.verdict) == ("tools", verdict)}
    packages = [tool.package(system) for tool in TOOLS if tool.name in absent]
    return install_command(system, packages) if packages else None
