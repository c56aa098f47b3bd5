# SPDX-License-Identifier: Apache-2.0
"""A git tree for a person to work in: a kernel source with a series as commits on it.

It is a clone of its own (see :mod:`driver.kernel.clone`). Its git configuration says what it was
made of (``driver.series``, ``driver.source``, ``driver.project``), and the tag ``base`` marks the
source: ``git log base..`` is the series.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from driver.kernel.git import foreign_git


@dataclass(frozen=True)
class Checkout:
    """``series`` is a folder of ``kernel-patches/`` or none; ``source`` names one in the cache."""

    tree: Path
    series: str
    source: str
    project: Path


def find(tree: Path) -> Checkout | None:
    """The checkout at ``tree``; None if ``driver patch checkout`` did not make it."""
    if not (tree / ".git").is_dir():
        return None
    settings = foreign_git(tree, "config", "--local", "--get-regexp", r"^driver\.", check=False)
    values = dict(line.split(" ", 1) for line in settings.stdout.splitlines() if " " in line)
    if not {"driver.series", "driver.source", "driver.project"} <= values.keys():
        return None
    return Checkout(
        tree=tree,
        series=values["driver.series"],
        source=values["driver.source"],
        project=Path(values["driver.project"]),
    )


def enclosing(start: Path) -> Checkout | None:
    """The checkout that ``start`` is in, or None."""
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / ".git").exists():
            return find(folder)
    return None


def set_series(checkout: Checkout, series: str) -> None:
    """Remember that the checkout is now that series."""
    foreign_git(checkout.tree, "config", "--local", "driver.series", series)
