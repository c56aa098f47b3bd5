# SPDX-License-Identifier: Apache-2.0
"""A guest that a plugin stops at each phase, so that its memory can be looked at.

The plugin waits in the middle of an instruction; QEMU's monitor is not spoken to.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from driver.guest.channels import SOCKET_FOLDER

# Called with the process of QEMU and the number of the phase, from 0, while the guest stands still.
Look = Callable[[int, int], None]
_CREDENTIALS = struct.Struct("3i")  # struct ucred of unix(7): process, user, group


@contextmanager
def looking(look: Look) -> Iterator[Path]:
    """The path of a socket for the plugin of one guest; ``look`` is called in another thread.

    Leaving the context lets the guest run on, and waits until the last look is over.
    """
    with tempfile.TemporaryDirectory(prefix="driver-look-", dir=SOCKET_FOLDER) as folder:
        path = Path(folder) / "hold"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            thread = threading.Thread(target=_serve, args=(listener, look), daemon=True)
            thread.start()
            try:
                yield path
            finally:
                with contextlib.suppress(OSError):  # wakes a blocked accept
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join()


def _serve(listener: socket.socket, look: Look) -> None:
    """Until the plugin, that is QEMU, goes."""
    try:
        plugin, _ = listener.accept()
    except OSError:
        return
    with plugin:
        packed = plugin.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        pid, _, _ = _CREDENTIALS.unpack(packed)
        phase = 0
        with contextlib.suppress(OSError):
            while plugin.recv(1):
                look(pid, phase)
                phase += 1
                plugin.send(b".")
