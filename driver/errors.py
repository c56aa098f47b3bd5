# SPDX-License-Identifier: Apache-2.0
"""What can go wrong, by who can fix it.

The class decides the exit status of the ``driver`` command, so that a script can tell a typo
from a broken machine from a kernel that crashed. None of these ever shows a traceback unless
``--verbose`` asks for one.

======  ======================  ==================================================
status  class                   meaning
======  ======================  ==================================================
0       (none)                  everything asked for was done and every check held
1       :class:`CheckFailed`    the run is complete; a measurement missed its check
2       :class:`UserError`      the request cannot be met as written; carries a hint
3       :class:`HostError`      this machine failed: tool missing, disk full, build
4       :class:`GuestSplat`     the guest kernel panicked, oopsed, warned or hung
5       :class:`GuestLost`      QEMU died or the guest fell silent
6       :class:`GuestTimeout`   a phase outlived its deadline
7       :class:`WorkloadFailed` the workload itself exited with an error
130     KeyboardInterrupt       interrupted; finished trials are kept
143     the same, by SIGTERM    (129 by SIGHUP) asked to stop; finished trials are kept
======  ======================  ==================================================
"""

from __future__ import annotations

from pathlib import Path

# What a shell makes of SIGINT.
INTERRUPTED = 130


class DriverError(Exception):
    """Base of every error the driver raises on purpose.

    ``hint`` is one imperative sentence saying what to do next; ``excerpt`` is evidence (a
    compiler error, the last console lines) shown verbatim under the message; ``log`` is the file
    with the whole output.
    """

    exit_status = 3

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        excerpt: str | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.excerpt = excerpt
        self.log = log


class CheckFailed(DriverError):
    """A finished run disagrees with the expectation written in its experiment."""

    exit_status = 1


class UserError(DriverError):
    """The request is wrong as written; the person who wrote it can correct it."""

    exit_status = 2


class HostError(DriverError):
    """This machine could not do its part."""

    exit_status = 3


class GuestError(DriverError):
    """Something went wrong inside, or with, a running guest.

    ``host_fault`` says that the host or the emulator is to blame: neither the guest's kernel nor
    its workload is under suspicion, and the same may be tried again.
    """

    exit_status = 4
    verdict = "guest-error"
    host_fault = False


class GuestSplat(GuestError):
    """The guest kernel complained: panic, oops, BUG, WARNING, lockdep, KASAN, stall, ..."""

    exit_status = 4
    verdict = "splat"

    def __init__(
        self,
        message: str,
        *,
        kind: str,
        hint: str | None = None,
        excerpt: str | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(message, hint=hint, excerpt=excerpt, log=log)
        self.kind = kind


class GuestLost(GuestError):
    """QEMU exited, or the guest's channel closed, without a verdict from the guest."""

    exit_status = 5
    verdict = "lost"


class EmulatorFault(GuestLost):
    """QEMU executed the guest wrongly. Its kernel is not to blame, and may be tried again."""

    host_fault = True


class EmulatorLost(GuestLost):
    """QEMU was killed or failed: a guest cannot make it end like that."""

    host_fault = True


class GuestTimeout(GuestError):
    """A phase did not end within its deadline and the guest was stopped."""

    exit_status = 6
    verdict = "timeout"


class HostOverloaded(GuestTimeout):
    """A phase did not end within its deadline, as QEMU was denied the processor or stopped."""

    host_fault = True


class WorkloadFailed(GuestError):
    """The workload ran and said no: a non-zero exit status, a signal, a failed pre-flight."""

    exit_status = 7
    verdict = "workload"


class TrialsFailed(GuestError):
    """Attempts at trials of a run have failed, the first of those that count at ``trial``."""

    def __init__(
        self,
        message: str,
        *,
        trial: str,
        exit_status: int,
        excerpt: str | None,
        log: Path,
        hint: str,
    ) -> None:
        super().__init__(message, excerpt=excerpt, log=log, hint=hint)
        self.trial = trial
        self.exit_status = exit_status
