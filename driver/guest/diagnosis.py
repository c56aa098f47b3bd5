# SPDX-License-Identifier: Apache-2.0
"""Why a guest failed.

A kernel that complains is a :class:`GuestSplat`; a guest that never gets ready or does not finish
a :class:`GuestTimeout`; a QEMU that dies or a channel that closes :class:`GuestLost`. A complaint
of the kernel outranks the others, because it is usually their cause, and counts even when the job
succeeded.
"""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections.abc import Iterator
from typing import NoReturn

from driver.errors import (
    EmulatorFault,
    EmulatorLost,
    GuestError,
    GuestLost,
    GuestSplat,
    GuestTimeout,
    HostError,
    HostOverloaded,
)
from driver.guest.console_log import ConsoleLog
from driver.guest.qemu_process import QemuProcess
from driver.guest.splat_classifier import Splat
from driver.process import describe_status

# Once a splat has begun, its last line is awaited for so long: the verdict comes within a second of
# the first line, with a complete excerpt.
_SPLAT_SECONDS = 0.8
# How long a closed channel waits for its reason to show: a panic's last line, QEMU's exit status.
_REASON_SECONDS = 2.0
_LOOK_EVERY = 0.02

# A processor stopped at a breakpoint, and the kernel, which prints the bytes around where it
# stopped, found something else than a breakpoint (0xcc) there.
_VANISHED = re.compile(
    r"int3: [0-9a-f]{4} \[#1\].*?Code: (?:[0-9a-f]{2} )*(?!cc)[0-9a-f]{2} <", re.DOTALL
)


def demand_quiet(console: ConsoleLog, tolerate: frozenset[str]) -> None:
    """Raise :class:`GuestSplat` for a complaint in the console log of a guest that is gone."""
    console.finish()
    for splat in console.splats:
        if splat.kind not in tolerate:
            raise _reported(splat, console)


def _reported(first: Splat, console: ConsoleLog, more: int = 0) -> GuestSplat:
    others = f" (and {more} more)" if more else ""
    return GuestSplat(
        f"the guest's kernel reported {first.kind}: {first.message}{others}",
        kind=first.kind,
        excerpt=first.text(),
        log=console.path,
    )


# The last words of kernel/reboot.c, and what they mean.
_LAST_WORDS = {
    "reboot: Power down": "the guest powered itself off",
    "reboot: Restarting system": "the guest restarted itself",
    "Rebooting in": "the guest's kernel panicked and reset",
}
_SEE_RESETS = (
    "--qemu-arg=-d --qemu-arg=cpu_reset,int --qemu-arg=-D --qemu-arg=FILE makes QEMU write the "
    "processor's registers at each exception and reset into FILE."
)
# QEMU's words when a signal makes it exit with status 0.
_ASKED_TO_END = "terminating on signal"
# A guest that had to wait for this share of its time for a processor of the host was not slow.
_STARVED = 0.5


class Diagnosis:
    """Watches one guest's console and QEMU. Splats of the kinds in ``tolerate`` end nothing."""

    def __init__(self, qemu: QemuProcess, console: ConsoleLog, tolerate: frozenset[str]) -> None:
        self._qemu = qemu
        self._console = console
        self._tolerate = tolerate

    def check_alive(self) -> None:
        """Raise if there is no more reason to wait for the guest; cheap, for calling often."""
        if self._console.poll():
            self._raise_splat()
        if not self._qemu.running:
            raise GuestLost("QEMU ended")

    def check(self) -> None:
        """Raise :class:`GuestSplat` if the kernel has complained."""
        self._console.poll()
        self._raise_splat()

    @contextlib.contextmanager
    def explaining(self, when: str) -> Iterator[None]:
        """Turn the symptom of a failure into its cause, as far as it can be known."""
        try:
            yield
        except (GuestSplat, EmulatorFault):
            raise
        except GuestLost as error:
            self._explain_loss(error, when)
        except GuestTimeout as error:
            self.check()
            starved = self._qemu.starved_share()
            cause = ""
            if self._qemu.stopped:
                cause = "; QEMU has been stopped on this host, by SIGSTOP or a debugger"
            elif starved > _STARVED:
                cause = f"; QEMU waited {starved:.0%} of that time for a processor of this host"
            raise (HostOverloaded if cause else GuestTimeout)(
                f"{error.message} ({when}){cause}",
                hint=error.hint,
                excerpt=self._console.tail() or None,
                log=self._console.path,
            ) from error
        except GuestError:
            self.check()
            raise

    def _splats(self) -> list[Splat]:
        return [splat for splat in self._console.splats if splat.kind not in self._tolerate]

    def _raise_splat(self) -> None:
        """Raise the first complaint that is not tolerated, once all of it is there."""
        if not self._splats():
            return
        until = time.monotonic() + _SPLAT_SECONDS
        while self._console.collecting and self._qemu.running and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
            self._console.poll()
        first, *more = self._splats()
        if _VANISHED.search(first.text()):
            raise EmulatorFault(
                "QEMU executed a breakpoint that the guest's kernel had already removed",
                hint="Before QEMU 8.1 this happens occasionally when one of several processors "
                "patches the kernel's code. Try again, or give the guest one processor.",
                excerpt=first.text(),
                log=self._console.path,
            )
        raise _reported(first, self._console, len(more))

    def _explain_loss(self, error: GuestLost, when: str) -> NoReturn:
        until = time.monotonic() + _REASON_SECONDS
        while self._qemu.running and not self._splats() and time.monotonic() < until:
            time.sleep(_LOOK_EVERY)
            self._console.poll()
        if not self._qemu.running:
            self._console.finish()
        self.check()
        status = self._qemu.status
        if status == -signal.SIGBUS:
            # A page of a memory-mapped file could not be read or allocated. The guest is not to
            # blame, and another try would fail too.
            raise HostError(
                f"QEMU was killed by SIGBUS {when}: the host could not back the guest's memory",
                hint="Check whether the disk of the cache is full; list what it holds: "
                "driver cache list",
            ) from error
        if status is None:
            raise GuestLost(
                f"{error.message} ({when})",
                hint=error.hint,
                excerpt=self._console.tail() or None,
                log=self._console.path,
            ) from error
        words = self._qemu.messages().strip()
        # A guest can only make QEMU exit with 0, by a power-off or a reset (-no-reboot); so does a
        # signal that asks QEMU to end.
        if status or _ASKED_TO_END in words:
            raise EmulatorLost(
                f"QEMU {describe_status(status)} {when}",
                hint="Find out what ended it; whether memory ran out: sudo dmesg | grep -i oom",
                excerpt=words or self._console.tail() or None,
                log=self._console.path,
            ) from error
        what, hint = _ending(self._console.tail(3))
        raise GuestLost(
            f"{what} {when}",
            hint=hint,
            excerpt=words or self._console.tail() or None,
            log=self._console.path,
        ) from error


def _ending(last_lines: str) -> tuple[str, str]:
    """How a guest that made QEMU exit ended, by the last words of its kernel; and a hint."""
    for words, meaning in _LAST_WORDS.items():
        if words in last_lines:
            return meaning, "The console log has what came before."
    return "the guest reset without a message of its kernel, as after a triple fault,", _SEE_RESETS
