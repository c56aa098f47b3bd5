# SPDX-License-Identifier: Apache-2.0
"""A patch series as a git tree to work in, back as patches, and reviewed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.kernel import clone, export, importing, review, series
from driver.kernel.checkout import Checkout, enclosing
from driver.kernel.export import Exported
from driver.kernel.importing import Imported
from driver.kernel.review import Report
from driver.kernel.sources.source import is_directory_spec
from driver.paths import expanded


@dataclass(frozen=True)
class CheckedOut:
    """A checkout that was just made: of which source, and with how many patches as commits."""

    checkout: Checkout
    source: str
    patches: int


def checkout_series(
    folder: Path | None = None,
    *,
    name: str | None = None,
    base: str | None = None,
    workspace: Workspace | None = None,
) -> CheckedOut:
    """Make a git tree of a kernel with a series as commits on the tag ``base``.

    ``base`` is a version such as ``6.12``, ``debian:BASE=VERSION`` or ``URL#sha256=HEX`` (None: the
    newest base of the series). Raises :class:`UserError` if ``folder`` (``linux-SERIES`` here)
    holds something already, or the series does not apply.
    """
    place = workspace or default()
    chosen, source = clone.choose(
        place.store, place.project, series=name, base=base, reporter=place.reporter
    )
    target = expanded(folder or clone.default_folder(chosen)).resolve()
    made = clone.make(
        place.store,
        place.project,
        series=chosen,
        source=source,
        folder=target,
        reporter=place.reporter,
    )
    return CheckedOut(made, source.label, len(chosen.patches))


def export_series(
    checkout: Checkout, name: str | None = None, *, workspace: Workspace | None = None
) -> Exported:
    """Write the commits of a checkout since ``base`` as the patches of a series.

    ``name`` makes them a new series; None writes the one the checkout was made from.
    """
    return export.export((workspace or default()).project, checkout, name)


def import_series(
    path: Path,
    *,
    name: str | None = None,
    base: str | None = None,
    workspace: Workspace | None = None,
) -> Imported:
    """Make a series of the mails in ``path``, a file or a directory such as ``b4 am`` writes.

    ``name`` is by default taken from the subject, and ``base`` (as in :func:`checkout_series`) the
    newest that the project has a series for. Raises :class:`UserError` if they are no whole series
    or do not apply, and then has written nothing.
    """
    place = workspace or default()
    return importing.import_mails(
        place.store, place.project, path, name=name, base=_spec(base), reporter=place.reporter
    )


def review_series(
    name: str | None = None,
    *,
    base: str | None = None,
    build: bool = True,
    full: bool = False,
    jobs: int | None = None,
    workspace: Workspace | None = None,
) -> Report:
    """Check every patch of a series as a maintainer would: see :mod:`driver.kernel.review`.

    ``full`` builds the whole kernel at every patch, not only what the series touches.
    """
    place = workspace or default()
    chosen = series.default_series(None) if name is None else name
    if chosen == series.NONE:
        raise UserError(
            "there are no patches to check yet",
            hint="Export them: driver patch export --series NAME",
        )
    return review.review(
        place.store,
        place.project,
        series=chosen,
        base=_spec(base),
        build=build,
        full=full,
        jobs=jobs,
        reporter=place.reporter,
    )


def enclosing_checkout(start: Path) -> Checkout | None:
    """The tree of :func:`checkout_series` that ``start`` is in, or None."""
    return enclosing(start)


def _spec(base: str | None) -> str | None:
    """A version alone means Debian's package of it."""
    return f"debian:{base}" if base is not None and is_directory_spec(base) else base
