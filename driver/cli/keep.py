# SPDX-License-Identifier: Apache-2.0
"""``driver run --keep-guest``: a failed trial's guest stays until a person has seen enough."""

from __future__ import annotations

import dataclasses
import select
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.cli.debugger import how_to_debug
from driver.deadline import Deadline
from driver.errors import DriverError, GuestError, GuestSplat, GuestTimeout, UserError
from driver.experiment.runner import GuestFactory, TrialGuest
from driver.experiment.work import Prepared, Work
from driver.guest.debug_sockets import HANG_ON_PANIC, DebugSockets, offer_shell, open_debug_sockets
from driver.guest.deterministic import DeterministicFork
from driver.guest.job import Job, JobResult
from driver.guest.session import Guest
from driver.guest.template import Template

# Seconds between two looks at the keyboard, at QEMU and at whether the run is being stopped.
_LOOK_EVERY = 0.5


def check_possible(jobs: int) -> None:
    """Raise :class:`UserError` if there is nobody, or more than one guest, to attend to."""
    if jobs > 1:
        raise UserError(
            "--keep-guest attends to one guest at a time", hint="Leave --jobs out with it."
        )
    if not sys.stdin.isatty():
        raise UserError(
            "--keep-guest waits for Enter, and standard input is not a terminal",
            hint="Run it in a terminal; `driver logs` shows what a failed trial left behind.",
        )


def keeping(work: Work) -> Work:
    """The same work, its guests kept when they fail."""
    return dataclasses.replace(
        work,
        guests={
            request: Prepared(_Keeper(prepared.factory), prepared.record)
            for request, prepared in work.guests.items()
        },
    )


@dataclass(frozen=True)
class _Keeper:
    """Forks guests that are kept when they fail."""

    factory: GuestFactory

    def timeout_scale(self, jobs: int) -> float:
        return self.factory.timeout_scale(jobs)

    @contextmanager
    def fork(self, directory: Path) -> Iterator[TrialGuest]:
        # vmlinux, for a debugger, where the factory is a template of a real kernel.
        kernel = self.factory.recipe.kernel if isinstance(self.factory, Template) else None
        with self.factory.fork(directory) as guest:
            yield _Kept(guest, directory.name, kernel.vmlinux.parent if kernel else None)


class _Kept:
    """A trial's guest that shows itself to a person before its failure is reported."""

    def __init__(self, guest: TrialGuest, trial: str, kernel: Path | None) -> None:
        self._guest = guest
        self._trial = trial
        self._kernel = kernel
        self._killed = threading.Event()
        self._evidence: str | None = None

    def console_text(self) -> str:
        """What the trial left; what a person typed into the guest is no part of it."""
        return self._guest.console_text() if self._evidence is None else self._evidence

    def evidence(self) -> Mapping[str, str]:
        return self._guest.evidence()

    def kill(self) -> None:
        self._killed.set()
        self._guest.kill()

    def run(self, job: Job, deadline: Deadline) -> JobResult:
        try:
            result = self._guest.run(
                dataclasses.replace(job, setup=(HANG_ON_PANIC, *job.setup)), deadline
            )
        except GuestError as error:
            self._show(error.message, error)
            raise
        if result.status != 0:
            self._show(f"`{job.argv[0]}` ended with status {result.status}", None)
        return result

    def _show(self, what: str, error: GuestError | None) -> None:
        if self._killed.is_set():
            return
        self._evidence = self._guest.console_text()
        guest = self._guest.guest if isinstance(self._guest, DeterministicFork) else self._guest
        _say(f"\n{self._trial} failed: {what}")
        if not isinstance(guest, Guest):
            return
        try:
            with open_debug_sockets(guest) as found:
                _say(f"Its guest stays; its console so far: {guest.console.path}")
                if not guest.machine.deterministic:
                    offer_shell(guest)
                _say(_shell(guest, error, found))
                if self._kernel is not None:
                    _say(how_to_debug(self._kernel, found.debugger))
                _say("Enter ends it and goes on with the run; Ctrl-C stops the run.")
                self._wait(guest)
        except DriverError as gone:
            _say(f"Its guest is gone: {gone.message}")

    def _wait(self, guest: Guest) -> None:
        """Until Enter, the end of the guest, or the end of the run."""
        while not self._killed.is_set():
            guest.human("info status")  # raises once QEMU is gone
            if select.select([sys.stdin], [], [], _LOOK_EVERY)[0]:
                sys.stdin.readline()
                return


def _shell(guest: Guest, error: GuestError | None, found: DebugSockets) -> str:
    """How far a shell can be had, by what has happened."""
    attach = f"\n  driver shell --attach {found.console}"
    if isinstance(error, GuestSplat) and error.kind == "panic":
        return "Its kernel has panicked and runs no program: a debugger is the way in."
    if guest.machine.deterministic:
        return (
            "An exact guest takes one job and halts: a debugger is the way in, or the same trial "
            "with --accel tcg for a shell."
        )
    if isinstance(error, GuestTimeout):
        return f"Its job still runs; once that ends a shell comes up on the console:{attach}"
    return f"A shell on its serial console, from another terminal:{attach}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
