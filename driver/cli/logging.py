# SPDX-License-Identifier: Apache-2.0
"""``-v`` and ``-vv``: what the driver does, on standard error.

Every module logs to a logger of its own name below ``driver``: at INFO each program it runs and
each decision it takes, at DEBUG what is said to QEMU and to the guest. Nothing is logged unless
asked for.
"""

from __future__ import annotations

import logging
import sys

# By how often --verbose is given.
_LEVELS = (logging.CRITICAL, logging.INFO, logging.DEBUG)
# Milliseconds since the start: what matters about a command is how long it took.
_FORMAT = "%(relativeCreated)8d ms %(levelname)-5s %(name)s: %(message)s"


def configure(verbose: int) -> None:
    """Log to standard error what was asked for, and nothing of the libraries unless ``-vv``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    root, ours = logging.getLogger(), logging.getLogger("driver")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO if verbose > 1 else logging.CRITICAL)
    ours.setLevel(_LEVELS[min(verbose, len(_LEVELS) - 1)])
