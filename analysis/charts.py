# SPDX-License-Identifier: Apache-2.0
"""Panels of curves, and of pairs of dots, that carry their labels where the eye ends up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis.plots import GREY
from driver.text import decimal

INK = "#222222"

# Height in inches that one line of text needs next to an axis, and the part of a row of panels that
# is left for the axis after title and labels.
_LINE = 0.19
_AXIS = 0.75


@dataclass(frozen=True)
class _End:
    """What is written at the right end of a curve, and where."""

    y: float
    text: str
    colour: str


@dataclass
class Panel:
    """One diagram: curves of numbers against a quantity, both by their logarithms if asked for.

    Labels are placed by :meth:`close`, when the limits of the axes are known.
    """

    axes: Axes
    title: str
    across: str
    show: Callable[[float], str] = decimal
    log_x: bool = True
    log_y: bool = True
    _ends: list[_End] = field(default_factory=list)
    _xs: set[float] = field(default_factory=set)

    def __post_init__(self) -> None:
        if self.log_x:
            self.axes.set_xscale("log", base=2)
        if self.log_y:
            self.axes.set_yscale("log")
        self.axes.set_title(self.title)
        self.axes.set_xlabel(self.across)

    def curve(
        self,
        label: str,
        colour: str,
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        theory: Callable[[float], float] | None = None,
        hollow: bool = False,
        dashed: bool = False,
        spread: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        """Measured points on the line of a theory, or joined if there is none.

        ``spread`` are the lower and upper ends of an interval around each point. A curve without a
        label is not named at its end.
        """
        line = [theory(x) for x in xs] if theory else ys
        style = (0, (4, 3)) if dashed else "solid"
        self.axes.plot(xs, line, color=colour, linewidth=1.5, alpha=0.75, zorder=2, linestyle=style)
        self.axes.plot(
            xs,
            ys,
            linestyle="none",
            marker="o",
            markersize=9.5 if hollow else 5,
            markerfacecolor="none" if hollow else colour,
            markeredgecolor=colour,
            markeredgewidth=1.3,
            zorder=3,
        )
        if spread:
            self.axes.vlines(xs, spread[0], spread[1], color=colour, linewidth=1.2, zorder=2)
        self._xs |= set(xs)
        if label:
            self._ends.append(_End(ys[-1], label, colour))

    def level(self, label: str, y: float) -> None:
        """A horizontal line to compare with, named above its left end."""
        self.axes.axhline(y, color=GREY, linewidth=1.1, linestyle=(0, (1, 2)), zorder=1)
        self.axes.annotate(
            f"{label}: {self.show(y)}",
            (0, y),
            xycoords=("axes fraction", "data"),
            xytext=(4, 3),
            textcoords="offset points",
            color=GREY,
            fontsize=9,
        )

    def close(self) -> None:
        """Name the curves, and mark each place on the horizontal axis that was measured."""
        for end, place in zip(self._ends, self._places(), strict=True):
            self.axes.annotate(
                end.text,
                (1, place),
                xycoords="axes fraction",
                xytext=(7, 0),
                textcoords="offset points",
                color=end.colour,
                va="center",
                fontweight="bold",
                fontsize=9.5,
                annotation_clip=False,
            )
        if self._xs:
            self.axes.xaxis.set_major_locator(FixedLocator(sorted(self._xs)))
            self.axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
            self.axes.xaxis.set_minor_locator(NullLocator())
        self.axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: self.show(y)))
        self.axes.yaxis.set_minor_locator(NullLocator())

    def _places(self) -> list[float]:
        """Heights of the names, as parts of the axis: where the curves end, without overlap."""
        to_axes = self.axes.transData + self.axes.transAxes.inverted()
        middle = sum(self.axes.get_xlim()) / 2
        wanted = [float(to_axes.transform((middle, end.y))[1]) for end in self._ends]
        line = _LINE / self._height()
        return without_overlap(wanted, [line * (1 + end.text.count("\n")) for end in self._ends])

    def _height(self) -> float:
        """Of the axis, in inches, as near as can be known before the layout."""
        place, figure = self.axes.get_subplotspec(), self.axes.get_figure(root=True)
        if place is None or figure is None:
            raise ValueError("a panel is part of a grid of a figure")
        return float(figure.get_figheight()) / place.get_gridspec().nrows * _AXIS


def without_overlap(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Places as near to those wanted as can be without overlap, in the same order.

    ``sizes`` are the heights of what is placed; neighbours keep half of both between their middles.
    """
    order = sorted(range(len(wanted)), key=lambda index: wanted[index])
    # Groups of neighbours that touch, each a list of members and the place of its first one.
    groups: list[tuple[list[int], float]] = []
    for index in order:
        members, start = [index], wanted[index]
        while groups:
            before, place = groups[-1]
            if place + _reach(before, sizes) + _gap(before[-1], members[0], sizes) <= start:
                break
            groups.pop()
            members = before + members
            offsets = _offsets(members, sizes)
            start = sum(wanted[m] - o for m, o in zip(members, offsets, strict=True)) / len(members)
        groups.append((members, start))
    places = [0.0] * len(wanted)
    for members, start in groups:
        for member, offset in zip(members, _offsets(members, sizes), strict=True):
            places[member] = start + offset
    return places


def _gap(one: int, other: int, sizes: Sequence[float]) -> float:
    return (sizes[one] + sizes[other]) / 2


def _offsets(members: Sequence[int], sizes: Sequence[float]) -> list[float]:
    offsets = [0.0]
    for one, other in pairwise(members):
        offsets.append(offsets[-1] + _gap(one, other, sizes))
    return offsets


def _reach(members: Sequence[int], sizes: Sequence[float]) -> float:
    return _offsets(members, sizes)[-1]


@dataclass(frozen=True)
class DotPair:
    """One row of a comparison: the same thing before and after, in one unit."""

    name: str
    before: float
    after: float


def pairs(
    axes: Axes,
    rows: Sequence[DotPair],
    colours: tuple[str, str],
    names: tuple[str, str],
    *,
    title: str,
    across: str,
    show: Callable[[float], str] = decimal,
) -> None:
    """One line per row from a ring (before) to a dot (after), by their logarithms.

    Ring and dot are named in the row in which they are furthest apart.
    """
    axes.set_xscale("log")
    widest = max(rows, key=lambda row: abs(math.log(row.after / row.before)))
    for height, row in enumerate(reversed(rows)):
        axes.plot([row.before, row.after], [height] * 2, color=GREY, linewidth=1.4, zorder=1)
        axes.plot(row.before, height, "o", markersize=9, mfc="white", mec=colours[0], mew=1.6)
        axes.plot(row.after, height, "o", markersize=6, color=colours[1], zorder=3)
        right = max(row.before, row.after)
        axes.annotate(
            change(row.before, row.after),
            (right, height),
            xytext=(9, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
        if row is widest:
            for name, value, colour in zip(names, (row.before, row.after), colours, strict=True):
                axes.annotate(
                    name,
                    (value, height),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=9,
                    fontweight="bold",
                    color=colour,
                )
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)])
    axes.grid(visible=False, axis="y")
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: show(x)))
    axes.xaxis.set_minor_locator(NullLocator())


def change(before: float, after: float) -> str:
    """How much more or less, in the words that are shortest for it."""
    if not before or not after:
        return "" if before == after else f"{after - before:+,.0f}"
    ratio = after / before
    if ratio >= 3 or ratio <= 1 / 3:
        return f"{max(ratio, 1 / ratio):,.3g}x {'as many' if ratio > 1 else 'fewer'}"
    percent = 100 * (ratio - 1)
    return "the same" if abs(percent) < 0.05 else f"{percent:+.1f} %".replace("-", "\N{MINUS SIGN}")
