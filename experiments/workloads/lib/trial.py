# SPDX-License-Identifier: Apache-2.0
"""The workload's side of a trial, for Python: copy this one file next to your program.

::

    import trial

    trial.phase("touched", [worker.pid for worker in workers])  # every counter is read here
    trial.value("found", "count", 512)

Under the guest agent, messages go to the socket whose descriptor ``TRIAL_FD`` names; a program
run by hand prints them. Any Python from 3.6 on will do, and nothing but its own library is needed.
"""

import os
import re
import socket

_BLANK = re.compile(r"\s")


def phase(name, pids=()):
    """Announce a phase and the processes it is about; return when every counter has been read."""
    channel = _channel()
    message = " ".join(["phase", _word(name), *(str(int(pid)) for pid in pids)])
    if channel is None:
        print(f"phase {name}", flush=True)
        return
    with channel:
        channel.sendall(message.encode())
        if channel.recv(8) != b"go":
            raise RuntimeError(f"phase {name}: the agent did not answer")


def value(name, unit, number):
    """Report a number; it belongs to the phase announced last."""
    channel = _channel()
    if channel is None:
        print(f"value {name} {number:.17g} {unit}", flush=True)
        return
    with channel:
        channel.sendall(f"value {_word(name)} {_word(unit)} {float(number):.17g}".encode())


def _channel():
    """A socket of our own on the agent's: closing it leaves the other open."""
    number = os.environ.get("TRIAL_FD")
    if number is None:
        return None
    return socket.socket(fileno=os.dup(int(number)))


def _word(text):
    if not text or _BLANK.search(text):
        raise ValueError(f"{text!r} is empty or holds a blank")
    return text
