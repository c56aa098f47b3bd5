# SPDX-License-Identifier: Apache-2.0
"""What every command shares: verbosity, colour, the reporter, the store and the project."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer

from driver import api
from driver.api.workspace import Workspace
from driver.errors import UserError
from driver.paths import expanded
from driver.progress import Reporter, SilentReporter, open_reporter
from driver.project import Project
from driver.store import Store

if TYPE_CHECKING:
    from driver.kernel.checkout import Checkout


_log = logging.getLogger(__name__)


@dataclass
class _Verbosity:
    verbose: int = 0
    quiet: bool = False


_chosen = _Verbosity()
# Where the project is if neither the environment nor the current directory says.
_project: list[Path] = []


def set_project(path: str | None) -> None:
    """Remember what the configuration file says for the rest of the process."""
    _project[:] = [expanded(path)] if path else []


def set_verbosity(*, verbose: int, quiet: bool) -> None:
    """Remember the global options for the rest of the process."""
    _chosen.verbose, _chosen.quiet = verbose, quiet


def verbose() -> int:
    """How often --verbose was given."""
    return _chosen.verbose


def colour() -> bool:
    """Whether stderr may carry colour."""
    return _may_be_coloured(sys.stderr)


def style(text: str, code: str) -> str:
    """``text`` in an ANSI style (``"1;31"``) for standard output, if that may carry colour."""
    return f"\x1b[{code}m{text}\x1b[0m" if _may_be_coloured(sys.stdout) else text


def _may_be_coloured(stream: TextIO) -> bool:
    """A terminal that can do it, and nobody set NO_COLOR (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream.isatty() and not plain


def given(ctx: typer.Context, *names: str) -> list[str]:
    """Which of these options were typed, as they are typed.

    Not those with a default of the configuration file, which is meant for whatever it applies to.
    """
    typed = []
    for name in names:
        source = ctx.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            typed.append(f"--{name.replace('_', '-')}")
    return typed


def reporting(*, silent: bool = False) -> AbstractContextManager[Reporter]:
    """The reporter for one command: silent with ``--quiet`` or when a program reads the output."""
    return open_reporter(silent=silent or _chosen.quiet, plain=_chosen.verbose > 0)


def store(to: Reporter) -> Store:
    """The user's artifact store; it notifies ``to`` when it waits or repairs something."""
    return Store(notify=to.note)


def workspace(reporter: Reporter | None = None) -> Workspace:
    """The project and the user's store, for the functions of :mod:`driver.api`.

    Progress goes to ``reporter``; commands that do no long work have none.
    """
    reporter = reporter or SilentReporter()
    made = Workspace(project(), store(reporter), reporter)
    _log.info("project %s, cache %s", made.project.root, made.store.root)
    return made


def workspace_of(*runs: str) -> Workspace:
    """The workspace of a command that only reads runs: paths to them need no project."""
    try:
        return workspace()
    except UserError:
        paths = [Path(run).resolve() for run in runs]
        if not all((path / "manifest.json").is_file() for path in paths):
            raise
        silent = SilentReporter()
        return Workspace(Project(paths[0].parent), store(silent), silent)


def project() -> Project:
    """The project around the current directory, of the checkout it is in, or of the settings."""
    try:
        return Project.find()
    except UserError:
        here = None if os.environ.get("DRIVER_PROJECT") else checkout()
        for start in (*([here.project] if here else []), *_project):
            with contextlib.suppress(UserError):
                return Project.find(start)
        raise


def checkout() -> Checkout | None:
    """The kernel tree of ``driver patch checkout`` that the current directory is in."""
    return api.enclosing_checkout(Path.cwd())
