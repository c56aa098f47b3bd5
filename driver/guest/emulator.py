# SPDX-License-Identifier: Apache-2.0
"""Which QEMU runs the guests: the one on PATH, unless another is named."""

from __future__ import annotations

import os
from collections.abc import Sequence

PROGRAM = "qemu-system-x86_64"
# Set by ``driver --qemu``, and by the configuration file.
VARIABLE = "DRIVER_QEMU"


def program() -> str:
    """The program, as a name on PATH or as a path."""
    return os.environ.get(VARIABLE) or PROGRAM


def command(argv: Sequence[str]) -> list[str]:
    """An argument list as it is executed; in the pure list the program has its usual name."""
    return [program(), *argv[1:]]
