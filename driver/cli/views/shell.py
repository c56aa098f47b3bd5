# SPDX-License-Identifier: Apache-2.0
"""A terminal joined to a guest: by SSH, on its serial console, or to one that is kept."""

from __future__ import annotations

import shlex
import socket
import sys
import threading
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import GuestError, UserError
from driver.guest import terminal
from driver.guest.debug_sockets import ONE_WEEK, SERIAL_SHELL
from driver.guest.job import Job
from driver.guest.session import Guest
from driver.text import reason


def over_ssh(guest: Guest, command: list[str]) -> int:
    """Run a command, or a login shell if there is none; returns its exit status."""
    with guest.ssh() as ssh:
        if not command:
            _say(f"{guest.release}: /mnt/dax is mounted DAX; `exit` ends the guest")
            return ssh.shell()
        done = ssh.run(shlex.join(command), Deadline.after(ONE_WEEK, "the command"))
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    return done.status


def on_console(guest: Guest) -> int:
    """A shell on the guest's serial console; returns its exit status."""
    assert guest.live_console is not None
    _say(f"{guest.release}: /mnt/dax is mounted DAX; Ctrl-] ends the guest")
    job = Job(argv=["sh", "-c", SERIAL_SHELL], timeout=ONE_WEEK)
    ended: list[int] = []

    def serve() -> None:
        try:
            ended.append(guest.run(job, Deadline.after(ONE_WEEK, "the shell")).status)
        except GuestError as error:
            _say(error.message)
        guest.kill()  # closes the console, which ends the relay

    threading.Thread(target=serve, daemon=True).start()
    terminal.join(guest.live_console, escape=terminal.ESCAPE)
    return ended[0] if ended else 0


def attach_console(path: Path) -> None:
    """Join the serial console of a guest that ``driver run --keep-guest`` keeps."""
    with socket.socket(socket.AF_UNIX) as console:
        try:
            console.connect(str(path))
        except OSError as error:
            raise UserError(
                f"no guest is kept at {path}: {reason(error)}",
                hint="Use the line that `driver run --keep-guest` prints, as long as it waits.",
            ) from error
        _say("Enter shows a prompt, if there is a shell; Ctrl-] leaves")
        terminal.join(console, escape=terminal.ESCAPE)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
