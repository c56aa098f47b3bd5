# SPDX-License-Identifier: Apache-2.0
"""The numbers of one run, by name and by combination of levels, repeats together."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from statistics import fmean

from driver.experiment import expression
from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import Assertion, Experiment, Fit, Level, Prediction, level_text
from driver.experiment.expression import ExpressionError, NoData
from driver.experiment.formulas import ingredients, is_measured
from driver.experiment.measured import MeasuredTrial
from driver.intervals import RepeatedValue, Stratum
from driver.validity import INSTRUCTIONS, TIME_UNITS

# Factors and their levels as text, in the experiment's order: as in the names of trials.
Cell = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Quantity:
    """Something a run measures for each cell: a metric, what a check looks at, a fit's slope.

    ``value`` is the expression for it, in those trials for which ``where`` holds. ``formula`` is
    everything that goes into it; two runs whose formulas differ do not measure the same thing,
    whatever they call it.
    """

    name: str
    unit: str
    value: str
    where: str
    formula: tuple[str, ...]
    by: tuple[str, ...]
    against: str | None = None

    @property
    def cost(self) -> bool:
        """Whether it is a time or a path length: valid under one accelerator, not another."""
        return self.unit in TIME_UNITS or self.unit == INSTRUCTIONS

    @property
    def countable(self) -> bool:
        return self.unit not in TIME_UNITS


@dataclass(frozen=True)
class RunNumbers:
    """What one run measured. ``trials`` holds the finished ones of each planned cell."""

    conclusion: Conclusion
    quantities: Mapping[str, Quantity]
    trials: Mapping[Cell, Sequence[MeasuredTrial]]

    def limited_to(self, cells: Collection[Cell]) -> RunNumbers:
        """The same run, as if only these combinations of levels had been planned."""
        return replace(
            self, trials={cell: found for cell, found in self.trials.items() if cell in cells}
        )

    def cells(self, quantity: Quantity) -> list[Cell]:
        """The cells a quantity has a number in, measured or not, in plan order."""
        return list(dict.fromkeys(_narrow(cell, quantity.by) for cell in self.trials))

    def sample(self, quantity: Quantity, cell: Cell) -> RepeatedValue | None:
        """The measured values; None where there are none (or no line through them)."""
        members = {
            key: trials for key, trials in self.trials.items() if _narrow(key, quantity.by) == cell
        }
        if quantity.against is not None:
            return _slope(quantity, quantity.against, members)
        values = [value for trials in members.values() for value in _values(quantity, trials)]
        return RepeatedValue.of(values) if values else None


def numbers(conclusion: Conclusion, factors: tuple[str, ...]) -> RunNumbers:
    """Collect the numbers of a run, its cells being combinations of levels of ``factors``."""
    experiment = conclusion.experiment
    trials: dict[Cell, list[MeasuredTrial]] = {
        cell_of(planned.factors, factors): [] for planned in conclusion.run.manifest.plan
    }
    for trial in conclusion.trials:
        trials[cell_of(trial.factors, factors)].append(trial)
    found = {item.name: item for item in _quantities(experiment, factors)}
    return RunNumbers(conclusion, found, trials)


def cell_of(levels: Mapping[str, Level], factors: Sequence[str]) -> Cell:
    """The place of a trial in its plan, without its repeat."""
    return tuple((name, level_text(levels[name])) for name in factors)


def describe(cell: Cell) -> str:
    """A cell for reading: ``entry=4K processes=16``."""
    return " ".join(f"{name}={level}" for name, level in cell)


def _narrow(cell: Cell, by: Sequence[str]) -> Cell:
    return tuple(item for item in cell if item[0] in by)


def _quantities(experiment: Experiment, factors: tuple[str, ...]) -> Iterator[Quantity]:
    """Metrics first: where a check looks at a metric alone, or is called like one, it adds none."""
    for name, metric in experiment.metrics.items():
        if is_measured(experiment, metric.value):
            formula = (metric.value, metric.unit, *ingredients(experiment, metric.value))
            yield Quantity(name, metric.unit, name, "true", formula, factors)
    items: list[Assertion] = [*experiment.checks, *experiment.predictions, *experiment.fits]
    for item in items:
        slope = item if isinstance(item, Fit | Prediction) else None
        against = slope.against if slope else None
        known = item.name in experiment.metrics
        if known or (against is None and item.measured in experiment.metrics):
            continue
        by = slope.by if slope and against else factors
        used = [*ingredients(experiment, item.measured), *ingredients(experiment, against or "0")]
        yield Quantity(
            item.name,
            item.unit,
            item.measured,
            item.where,
            (item.measured, item.where, item.unit, against or "", *used),
            tuple(name for name in factors if name in by),
            against,
        )


def _values(quantity: Quantity, trials: Sequence[MeasuredTrial]) -> Iterator[float]:
    for trial in trials:
        if expression.truth(quantity.where, trial.factors):
            with contextlib.suppress(NoData, ExpressionError):
                yield float(expression.number(quantity.value, trial.names))


def _slope(
    quantity: Quantity, against: str, members: Mapping[Cell, Sequence[MeasuredTrial]]
) -> RepeatedValue | None:
    """The least-squares line through the means of the cells, as weights of those means."""
    points: list[tuple[Fraction, tuple[float, ...]]] = []
    for trials in members.values():
        ys = tuple(_values(quantity, trials))
        if not ys:
            continue
        try:
            xs = [float(expression.number(against, trial.names)) for trial in trials]
        except (NoData, ExpressionError):
            return None
        points.append((Fraction(fmean(xs)), ys))
    middle = sum((x for x, _ in points), Fraction()) / max(1, len(points))
    spread = sum(((x - middle) ** 2 for x, _ in points), Fraction())
    if spread == 0:
        return None
    return RepeatedValue(tuple(Stratum((x - middle) / spread, ys) for x, ys in points))
