# SPDX-License-Identifier: Apache-2.0
"""How a guest is to be started."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driver.guest.console_log import ConsoleLog
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files
from driver.guest.ssh_keys import Login

NO_KINDS: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GuestConfig:
    """How to start a guest: its ``files``, and what differs from guest to guest.

    ``tolerate`` names kinds of splats (:mod:`driver.guest.splat_patterns`) that are expected and do
    not end the job. ``job`` is what a deterministic guest does: a fork once it is triggered,
    any other as soon as it has booted. ``console`` attaches a live console that the caller must
    read; ``gdb`` is where to wait for a debugger. ``boot_log`` is the console log of the template
    that it continues from, if it is a fork. ``watch`` is called with how far a booting guest is,
    several times a second. ``plugins`` are values of QEMU's ``-plugin``.
    """

    machine: Machine
    files: Files
    login: Login | None = None
    job: Job | None = None
    console: bool = False
    gdb: Path | None = None
    tolerate: frozenset[str] = NO_KINDS
    boot_log: Path | None = None
    watch: Callable[[str], None] | None = None
    plugins: tuple[str, ...] = ()

    def boot_console(self) -> str:
        """What the console had said before the guest was forked; nothing if it boots."""
        return "" if self.boot_log is None else ConsoleLog(self.boot_log).text()
