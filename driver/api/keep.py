# SPDX-License-Identifier: Apache-2.0
"""A guest whose trial failed, handed over before it ends."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.api.instruments import WatchedTemplate
from driver.deadline import Deadline
from driver.errors import DriverError, GuestError
from driver.experiment.attempt import GuestFactory, TrialGuest
from driver.experiment.work import Prepared, Work
from driver.guest.config import NO_KINDS
from driver.guest.debug_sockets import HANG_ON_PANIC, DebugSockets, offer_shell, open_debug_sockets
from driver.guest.deterministic import DeterministicFork
from driver.guest.job import Job, JobResult
from driver.guest.session import Guest
from driver.guest.template import Template
from driver.process import describe_status
from driver.results.observations import Observations


@dataclass(frozen=True)
class FailedGuest:
    """A guest that is still there although its trial has failed.

    ``reason`` says how it failed and ``error`` is the failure, unless the workload itself said no.
    ``guest`` and ``sockets`` are None if there is no QEMU any more; ``kernel`` is the folder with
    its vmlinux. ``stopping()`` is true once the run is being stopped: return then.
    """

    trial: str
    reason: str
    error: GuestError | None
    guest: Guest | None
    sockets: DebugSockets | None
    kernel: Path | None
    stopping: Callable[[], bool]


# Called with each failed guest, one at a time.
# When it returns, the guest ends and the run continues.
Attendant = Callable[[FailedGuest], None]


def keeping(work: Work, attend: Attendant, *, sockets: bool = True) -> Work:
    """The same work, its guests handed to ``attend`` when they fail, with ``sockets`` or without.

    So that a panic stands still, each trial then begins with a write of 0 to ``kernel.panic``.
    """
    return dataclasses.replace(
        work,
        guests={
            request: Prepared(_Keeper(prepared.factory, attend, sockets), prepared.record)
            for request, prepared in work.guests.items()
            if prepared.factory is not None
        },
    )


@dataclass(frozen=True)
class _Keeper:
    """Forks guests that are kept when they fail."""

    factory: GuestFactory
    attend: Attendant
    sockets: bool

    def timeout_scale(self, jobs: int) -> float:
        return self.factory.timeout_scale(jobs)

    def observations(self, directory: Path, phases: Sequence[str]) -> Observations:
        return self.factory.observations(directory, phases)

    @contextmanager
    def fork(self, directory: Path, *, tolerate: frozenset[str] = NO_KINDS) -> Iterator[TrialGuest]:
        # vmlinux, for a debugger, where the factory is a template of a real kernel.
        factory = self.factory
        while isinstance(factory, _Keeper):
            factory = factory.factory
        if isinstance(factory, WatchedTemplate):
            factory = factory.template
        kernel = factory.recipe.kernel if isinstance(factory, Template) else None
        folder = kernel.vmlinux.parent if kernel else None
        with self.factory.fork(directory, tolerate=tolerate) as guest:
            yield _Kept(guest, directory.name, folder, self.attend, sockets=self.sockets)


class _Kept:
    """A trial's guest that is shown to the attendant before its failure is reported."""

    def __init__(
        self,
        guest: TrialGuest,
        trial: str,
        kernel: Path | None,
        attend: Attendant,
        *,
        sockets: bool,
    ) -> None:
        self._guest = guest
        self._trial = trial
        self._kernel = kernel
        self._attend = attend
        self._sockets = sockets
        self._killed = threading.Event()
        self._evidence: str | None = None

    def boot_console(self) -> str:
        return self._guest.boot_console()

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
            self._show(f"`{job.argv[0]}` {describe_status(result.status)}", None)
        return result

    def _show(self, reason: str, error: GuestError | None) -> None:
        if self._killed.is_set():
            return
        self._evidence = self._guest.console_text()
        inner = self._guest
        while isinstance(inner, _Kept):  # a guest may be dumped, and kept as well
            inner = inner._guest
        guest = inner.guest if isinstance(inner, DeterministicFork) else inner
        failed = FailedGuest(
            self._trial, reason, error, None, None, self._kernel, self._killed.is_set
        )
        with contextlib.ExitStack() as until_attended:
            if isinstance(guest, Guest) and not self._sockets:
                failed = dataclasses.replace(failed, guest=guest)
            elif isinstance(guest, Guest):
                try:
                    sockets = until_attended.enter_context(open_debug_sockets(guest))
                    if not guest.machine.deterministic:
                        offer_shell(guest)
                except DriverError as gone:
                    failed = dataclasses.replace(
                        failed, reason=f"{reason}; its guest is gone: {gone.message}"
                    )
                else:
                    failed = dataclasses.replace(failed, guest=guest, sockets=sockets)
            self._attend(failed)
