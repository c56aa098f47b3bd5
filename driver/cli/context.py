# SPDX-License-Identifier: Apache-2.0
"""What every command shares: verbosity, colour, the reporter, the store and the project."""

from __future__ import annotations

import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass

from driver.project import Project
from driver.report import Reporter, open_reporter
from driver.store import Store


@dataclass
class _Verbosity:
    verbose: bool = False
    quiet: bool = False


_chosen = _Verbosity()


def set_verbosity(*, verbose: bool, quiet: bool) -> None:
    """Remember the global options for the rest of the process."""
    _chosen.verbose, _chosen.quiet = verbose, quiet


def verbose() -> bool:
    return _chosen.verbose


def colour() -> bool:
    """Whether stderr may carry colour: a terminal, and nobody set NO_COLOR (no-color.org)."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")


def reporting(*, silent: bool = False) -> AbstractContextManager[Reporter]:
    """The reporter for one command: silent with ``--quiet`` or when a program reads the output."""
    return open_reporter(silent=silent or _chosen.quiet)


def store(to: Reporter) -> Store:
    """The user's artifact store; it tells ``to`` when it waits or repairs something."""
    return Store(notify=to.note)


def project() -> Project:
    return Project.find()
