# SPDX-License-Identifier: Apache-2.0
"""What this process has open."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

# A descriptor's number and what it refers to: sockets and pipes by their inode, which is unique.
Descriptor = tuple[str, str]
# The driver has none. ZeroMQ has, once a test has executed a notebook in this process, and its
# threads replace them whenever they like.
_OF_OTHERS = "anon_inode:[eventfd]"


def descriptors() -> set[Descriptor]:
    """What the driver may have open, and not what this very listing had."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            found.add((entry.name, str(entry.readlink())))
    return {descriptor for descriptor in found if descriptor[1] != _OF_OTHERS}


def opened_since(before: set[Descriptor], seconds: float = 10) -> set[Descriptor]:
    """What is open that was not ``before``, once that is nothing, or after ``seconds``.

    A thread that ends closes what is its own a moment later, also one of an earlier test; what
    leaks stays.
    """
    until = time.monotonic() + seconds
    while (opened := descriptors() - before) and time.monotonic() < until:
        time.sleep(0.01)
    return opened
