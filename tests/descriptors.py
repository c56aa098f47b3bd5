# SPDX-License-Identifier: Apache-2.0
"""What this process has open."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

# A descriptor's number and what it refers to: sockets and pipes by their inode, which is unique.
Descriptor = tuple[str, str]


def descriptors() -> set[Descriptor]:
    """What is open, but for the descriptor of this very listing, which is closed by then."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((entry.name, str(entry.readlink())))
    return found


def opened_since(before: set[Descriptor], seconds: float = 10) -> set[Descriptor]:
    """What is open that was not ``before``, once that is nothing, or after ``seconds``.

    A thread that ends closes what is its own a moment later, also one of an earlier test; what
    leaks stays.
    """
    until = time.monotonic() + seconds
    while (opened := descriptors() - before) and time.monotonic() < until:
        time.sleep(0.01)
    return opened
