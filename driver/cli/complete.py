# SPDX-License-Identifier: Apache-2.0
"""What the shell offers when a person presses the tab key behind an option or an argument.

Only names of files are read: a completion that takes half a second is none.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import typer

from driver.cli import context
from driver.errors import DriverError

# Not by importing driver.kernel, which takes a fifth of a second.
_FRAGMENTS = Path(__file__).parents[1] / "kernel" / "fragments"
_INSTRUMENTS = Path(__file__).parents[1] / "instruments"


def series(incomplete: str) -> list[str]:
    """Folders of ``kernel-patches/``, and ``none``."""
    return _names(
        lambda root: [*_folders(root / "kernel-patches", "*/series.toml"), "none"], incomplete
    )


def bases(incomplete: str) -> list[str]:
    """Versions of Linux that the series of ``kernel-patches/`` are for."""
    return _names(
        lambda root: [path.parent.name for path in root.glob("kernel-patches/*/*/series.toml")],
        incomplete,
    )


def experiments(incomplete: str) -> list[str]:
    """Folders of ``experiments/``."""
    return _names(lambda root: _folders(root / "experiments", "experiment.toml"), incomplete)


def suites(incomplete: str) -> list[str]:
    """Folders of ``experiments/suites/``."""
    return _names(lambda root: _folders(root / "experiments/suites", "suite.toml"), incomplete)


def images(incomplete: str) -> list[str]:
    """Folders of ``guest-images/``."""
    return _names(lambda root: _folders(root / "guest-images", "recipe.toml"), incomplete)


def variants(incomplete: str) -> list[str]:
    """Fragments of :mod:`driver.kernel` but for the one that every kernel has."""
    names = sorted(path.stem for path in _FRAGMENTS.glob("*.config"))
    return [name for name in names if name != "machine" and name.startswith(incomplete)]


def instruments(incomplete: str) -> list[str]:
    """Those of :mod:`driver.instruments`; two have one plugin."""
    names = sorted({*(path.stem for path in _INSTRUMENTS.glob("*.c")), "coverage"})
    return [name for name in names if name.startswith(incomplete)]


def runs(incomplete: str) -> list[str]:
    """Folders of ``results/``, ``latest`` among them."""
    return _names(lambda root: _folders(root / "results", "manifest.json"), incomplete)


def trials(ctx: typer.Context, incomplete: str) -> list[str]:
    """Finished trials of the run that the command line names before."""
    name = str(ctx.params.get("name") or "")

    def known(root: Path) -> list[str]:
        run = Path(name) if (Path(name) / "trials").is_dir() else root / "results" / name
        return sorted(path.stem for path in (run / "trials").glob("*.json"))

    return _names(known, incomplete)


def kinds(incomplete: str) -> list[str]:
    """Kinds of faults that --allow-splat takes."""
    from driver.results.faults import ALLOWABLE  # noqa: PLC0415  (pydantic)

    return [name for name in ALLOWABLE if name.startswith(incomplete)]


def _names(known: Callable[[Path], list[str]], incomplete: str) -> list[str]:
    try:
        found = dict.fromkeys(known(context.project().root))
        return [name for name in found if name.startswith(incomplete)]
    except (DriverError, OSError):
        return []


def _folders(where: Path, marker: str) -> list[str]:
    return sorted({path.relative_to(where).parts[0] for path in where.glob(f"*/{marker}")})
