# SPDX-License-Identifier: Apache-2.0
"""Where the functions of :mod:`driver.api` work: a project, a cache, a place for progress."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from driver.progress import Reporter, SilentReporter
from driver.project import Project
from driver.store import Store, cache_root


@dataclass(frozen=True)
class Workspace:
    """``project`` has the series, images, experiments and results; ``store`` is the cache.

    What a store has handed out stays in the cache for as long as the store lives, and may be
    pruned afterwards: keep the workspace for as long as you use what was built in it.
    """

    project: Project
    store: Store
    reporter: Reporter

    @classmethod
    def find(
        cls,
        start: str | Path | None = None,
        *,
        cache: Path | None = None,
        reporter: Reporter | None = None,
    ) -> Workspace:
        """The project at or above ``start``, with the cache in the directory ``cache``.

        By default ``start`` is what ``DRIVER_PROJECT`` names, or the current directory, and
        ``cache`` what ``DRIVER_CACHE`` names, or the user's. Progress goes to ``reporter``, e.g. a
        :class:`driver.progress.PlainReporter`; nowhere without one. Raises :class:`UserError` if
        there is no project.
        """
        reporter = reporter or SilentReporter()
        return cls(
            Project.find(None if start is None else Path(start)),
            Store(cache, notify=reporter.note),
            reporter,
        )


def default() -> Workspace:
    """The workspace of a call that names none: of here and now, its store kept until the end."""
    return Workspace(Project.find(), _store(cache_root()), SilentReporter())


@functools.cache
def _store(root: Path) -> Store:
    """One per cache for the whole process: what it hands out must outlive the call that asks."""
    return Store(root)
