# SPDX-License-Identifier: Apache-2.0
"""Which host and which state of the project made a run."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

from driver import __version__, process
from driver.errors import HostError
from driver.results.manifest import Host, ProjectState


def now() -> str:
    """The time in UTC, to the second, as ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def host() -> Host:
    """This machine: no name, no address, nothing that identifies a person."""
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return Host(
        system=_os_release(),
        kernel=platform.release(),
        cpu=_cpu_model(),
        cpus=len(os.sched_getaffinity(0)),
        memory_mib=pages * page_size >> 20,
        python=platform.python_version(),
    )


def project_state(root: Path) -> ProjectState:
    """The commit of the checkout at ``root``; untracked files do not count as modifications."""
    try:
        commit = process.run(["git", "rev-parse", "HEAD"], cwd=root).stdout.strip()
        changes = process.run(["git", "status", "--porcelain", "--untracked-files=no"], cwd=root)
    except HostError:
        return ProjectState(driver=__version__, commit=None, modified=False)
    return ProjectState(driver=__version__, commit=commit, modified=bool(changes.stdout.strip()))


def _os_release() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
