# SPDX-License-Identifier: Apache-2.0
"""``driver run --keep-guest``: a failed trial's guest stays until a person has seen enough."""

from __future__ import annotations

import select
import shlex
import sys

from driver.api.keep import FailedGuest
from driver.cli.views.debugger import how_to_debug
from driver.errors import DriverError, GuestSplat, GuestTimeout, UserError
from driver.guest.debug_sockets import DebugSockets
from driver.guest.session import Guest

# Seconds between two looks at the keyboard, at QEMU and at whether the run is being stopped.
_LOOK_EVERY = 0.5


def check_terminal() -> None:
    """Raise :class:`UserError` if there is nobody to attend to a guest."""
    if not sys.stdin.isatty():
        raise UserError(
            "--keep-guest waits for Enter, and standard input is not a terminal",
            hint="Run it in a terminal; `driver logs` shows what a failed trial left behind.",
        )


def attend(failed: FailedGuest) -> None:
    """Say how to reach a guest, and wait for Enter, the end of the guest, or the end of the run."""
    _say(f"\n{failed.trial} failed: {failed.reason}")
    if failed.guest is None or failed.sockets is None:
        return
    _say(f"Its guest is kept; its console so far: {failed.guest.console.path}")
    _say(_shell(failed, failed.guest, failed.sockets))
    if failed.kernel is not None:
        _say(how_to_debug(failed.kernel, failed.sockets.debugger))
    _say("Enter ends it and continues the run; Ctrl-C stops the run.")
    try:
        _wait(failed, failed.guest)
    except DriverError as gone:
        _say(f"Its guest is gone: {gone.message}")


def _wait(failed: FailedGuest, guest: Guest) -> None:
    while not failed.stopping():
        guest.human("info status")  # raises once QEMU is gone
        if select.select([sys.stdin], [], [], _LOOK_EVERY)[0]:
            sys.stdin.readline()
            return


def _shell(failed: FailedGuest, guest: Guest, sockets: DebugSockets) -> str:
    """What kind of shell is possible after this failure."""
    attach = f"\n  driver shell --attach {shlex.quote(str(sockets.console))}"
    if isinstance(failed.error, GuestSplat) and failed.error.kind == "panic":
        return "Its kernel has panicked and runs no program: attach a debugger."
    if guest.machine.deterministic:
        return (
            "A guest under icount takes one job and halts: attach a debugger, or run the same "
            "trial with --accel tcg for a shell."
        )
    if isinstance(failed.error, GuestTimeout):
        return f"Its job still runs; once that ends a shell starts on the console:{attach}"
    return f"A shell on its serial console, from another terminal:{attach}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
