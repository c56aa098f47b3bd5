# SPDX-License-Identifier: Apache-2.0
"""How the programs of this package end when they cannot do what they were asked to."""

from __future__ import annotations

import sys

from driver.errors import DriverError, HostError
from driver.text import reason


def refuse(error: DriverError | OSError) -> int:
    """Print an error as the ``driver`` command does; returns the exit status."""
    if isinstance(error, OSError):
        error = HostError(reason(error, file=True))
    print(f"error: {error.message}", file=sys.stderr)
    for line in (error.excerpt or "").splitlines():
        print(f"  | {line}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)
    return error.exit_status
