# SPDX-License-Identifier: Apache-2.0
"""Forks that repeat to the byte.

What it takes, all measured on QEMU 7.2 with 1, 2 and 4 processors, on idle and on busy hosts:

- guest time counts instructions and the calendar follows it (``-icount``, ``-rtc clock=vm``);
- the job is in place before the guest resumes from the template, where the processor fetches it,
  and what starts it is already in a UART (see :mod:`driver.guest.qemu_args`);
- no device is served by another thread of QEMU than the one that executes (``ioeventfd=off``),
  and no timer on the host's clock runs (the announcement after a migration);
- what the guest sends goes to a file, which never makes it wait;
- the guest halts after its job, so that nothing happens while the host finds out;
- a template is made the same way: its job is there when it boots, and it stops itself.

The monitor is left alone while the guest runs. :data:`REPEATABILITY` says what repeats.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from driver.deadline import Deadline
from driver.errors import UserError
from driver.guest.config import GuestConfig
from driver.guest.job import Job, JobResult
from driver.guest.session import Guest
from driver.guest.standalone import standalone_command

# For the manifest of a run: what repeats, and where that ends.
REPEATABILITY: dict[str, str] = {
    "repeats": "console log, result and NVDIMM of every trial, to the byte: at any time, on any "
    "host, under any load, with 1 to 8 processors",
    "repeats but for": "a race in QEMU, on a busy host, that advances a trial's clock once, by "
    "some hundred instructions: rounds that disagree are run again, up to three times, until they "
    "agree",
    "repeats until": "another build of QEMU, kernel or image, another machine, provisioning or "
    "job: an instruction more in any of them moves everything after it",
}


class DeterministicFork:
    """A fork that repeats to the byte: it begins with its job and does nothing else.

    Guest time must not pass between the template and the job, or the job would find the guest
    some host-dependent number of timer ticks later. So the job is put in place first; the guest
    resumes when everything is there. Use it like a :class:`Guest`.
    """

    def __init__(
        self, config: GuestConfig, release: str, restore: Callable[[GuestConfig], Guest]
    ) -> None:
        self._config = config
        self._restore = restore
        self._guest: Guest | None = None
        self._killed = False
        self.machine = config.machine
        self.release = release

    def __enter__(self) -> DeterministicFork:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def guest(self) -> Guest:
        """The guest itself, once it runs."""
        if self._guest is None:
            raise UserError("a deterministic fork starts with its job", hint="Call run() first.")
        return self._guest

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        """Start with a job, do it, halt. Once per fork."""
        if self._guest is not None:
            raise UserError(
                "a deterministic fork does one job",
                hint="Fork the template again for the next one.",
            )
        self._guest = self._restore(replace(self._config, job=job))
        if self._killed:
            self._guest.kill()
        return self._guest.run(job, deadline)

    @property
    def standalone_command(self) -> str:
        """A line of shell that boots the same machine without the driver, and without the job."""
        return standalone_command(self.machine, self._config.files)

    def boot_console(self) -> str:
        """What the console of its template had said."""
        return self._config.boot_console()

    def console_text(self) -> str:
        """Everything the guest's console has said so far."""
        return self._guest.console_text() if self._guest else ""

    def evidence(self) -> dict[str, str]:
        """The digest of the NVDIMM, if it has one, once its job is done."""
        return {"nvdimm": self.guest.image_digest()} if self.machine.nvdimm_mib else {}

    def kill(self) -> None:
        """End it at once, from any thread."""
        self._killed = True
        if self._guest is not None:
            self._guest.kill()

    def close(self) -> None:
        """End it; idempotent."""
        if self._guest is not None:
            self._guest.close()
