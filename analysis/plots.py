# SPDX-License-Identifier: Apache-2.0
"""Plots that are read in ten seconds: measured points on the line theory draws.

Colours are those of Okabe and Ito (2008), which people with any common colour blindness tell
apart; lines carry their name at their end instead of in a legend.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import matplotlib as mpl
from IPython.display import Image
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from driver.text import binary

VERMILLION, BLUE, GREEN, ORANGE = "#D55E00", "#0072B2", "#009E73", "#E69F00"
PURPLE, GREY = "#CC79A7", "#6B6B6B"

_STYLE: dict[Any, Any] = {
    "font.size": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": "#222222",
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": "#222222",
    "ytick.labelcolor": "#222222",
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "figure.facecolor": "white",
}


@dataclass(frozen=True)
class Points:
    """Measured points drawn with one marker; ``hollow`` ones may lie on top of filled ones."""

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    marker: str = "o"
    hollow: bool = False


@dataclass(frozen=True)
class PlotSeries:
    """What theory says about one arm, and what was measured of it.

    ``label`` is written at the right end of the line, with the value measured there.
    """

    label: str
    colour: str
    theory: Callable[[float], float]
    measured: Sequence[Points]


def use_style() -> None:
    """Apply the house style to every figure that follows."""
    mpl.rcParams.update(_STYLE)


def figure(panels: int, *, width: float = 11.0, height: float = 4.6) -> tuple[Figure, list[Axes]]:
    """A row of panels that share the vertical axis."""
    made = Figure(figsize=(width, height), layout="constrained")
    axes = made.subplots(1, panels, sharey=True, squeeze=False)[0]
    return made, list(axes)


def grid(rows: int, columns: int, *, width: float = 11.0, height: float = 6.6) -> Figure:
    """Rows and columns of panels, each row of which shares the vertical axis."""
    made = Figure(figsize=(width, height), layout="constrained")
    made.subplots(rows, columns, sharex="col", sharey="row", squeeze=False)
    return made


def picture(made: Figure, alt: str) -> Image:
    """The figure as a PNG for a notebook; ``alt`` says in words what it shows."""
    buffer = BytesIO()
    made.savefig(buffer, format="png")
    width = round(made.get_figwidth() * mpl.rcParams["figure.dpi"])
    return Image(data=buffer.getvalue(), format="png", alt=alt, width=width)


def growth_panel(axes: Axes, series: Sequence[PlotSeries], *, title: str, across: str) -> None:
    """Bytes against a doubling quantity, both axes logarithmic, theory as lines."""
    xs = sorted({x for one in series for points in one.measured for x in points.xs})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    for one in series:
        ys = [one.theory(x) for x in xs]
        axes.plot(xs, ys, color=one.colour, linewidth=1.6, alpha=0.75, zorder=2)
        axes.annotate(
            f"{one.label}\n{binary(_measured_at(one, xs[-1]))}",
            (xs[-1], ys[-1]),
            xytext=(9, 0),
            textcoords="offset points",
            color=one.colour,
            va="center",
            fontweight="bold",
            annotation_clip=False,
        )
        for points in one.measured:
            axes.plot(
                points.xs,
                points.ys,
                linestyle="none",
                marker=points.marker,
                markersize=9.5 if points.hollow else 5,
                markerfacecolor="none" if points.hollow else one.colour,
                markeredgecolor=one.colour,
                markeredgewidth=1.3,
                zorder=3,
            )
    if len(series) == 2:
        _ratio(axes, xs[-1], *(_measured_at(one, xs[-1]) for one in series))
    axes.set_title(title)
    axes.set_xlabel(across)
    axes.xaxis.set_major_locator(FixedLocator(xs))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: binary(y)))
    axes.yaxis.set_minor_locator(NullLocator())


def _measured_at(series: PlotSeries, x: float) -> float:
    """The median of what was measured at x, or theory where nothing was."""
    found = [
        y
        for points in series.measured
        for at, y in zip(points.xs, points.ys, strict=True)
        if at == x
    ]
    return statistics.median(found) if found else series.theory(x)


def _ratio(axes: Axes, x: float, upper: float, lower: float) -> None:
    """An arrow from the upper point to the lower one that says by which factor it is lower."""
    if upper <= lower or lower <= 0:
        return
    axes.annotate(
        "",
        (x, lower),
        xytext=(x, upper),
        arrowprops={"arrowstyle": "->", "color": GREY, "shrinkA": 8, "shrinkB": 7},
    )
    ratio = upper / lower
    axes.annotate(
        f"{ratio:,.0f}x less" if ratio >= 100 else f"{ratio:.3g}x less",
        (x, (upper * lower) ** 0.5),
        xytext=(-7, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        color="#222222",
    )
