# SPDX-License-Identifier: Apache-2.0
"""Comparing what was measured with what the experiment said beforehand.

A *check* must hold in every trial it is made for, a *fit* in every group of trials. A
*prediction* is the same question asked of nature instead of the software: when it fails, the
prediction is refuted and the run is still good.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from driver.experiment import expression
from driver.experiment.definition import Assertion, Experiment, Fit, Level, Prediction
from driver.experiment.expression import ExpressionError, NoData
from driver.experiment.measured import MeasuredTrial
from driver.least_squares import slope
from driver.results.verdict import FAILS, HOLDS, NO_DATA, of_prediction


@dataclass(frozen=True)
class CheckRow:
    """One assertion about one subject (a trial or a group of trials): a row of ``checks.csv``.

    ``allowed`` is the difference that would still be accepted, in ``unit``; ``reason`` says why
    there is nothing to compare when the verdict is "no data". ``asked`` is False if that is because
    the plan was too small for the question, as for a slope through a single point.
    """

    kind: str
    name: str
    subject: str
    levels: Mapping[str, Level]
    measured: float | None
    expected: float | None
    allowed: float | None
    unit: str
    verdict: str
    reason: str = ""
    asked: bool = True

    def as_record(self) -> dict[str, Any]:
        keys = ("kind", "name", "subject", "measured", "expected", "allowed", "unit", "verdict")
        return {key: "" if getattr(self, key) is None else getattr(self, key) for key in keys}


@dataclass(frozen=True)
class Verdicts:
    """All rows of a run, and what became of each prediction."""

    rows: list[CheckRow]
    predictions: dict[str, str]

    @property
    def failures(self) -> list[CheckRow]:
        """Rows that make the run's exit status 1.

        Those are checks and fits that do not hold, and those of finished trials for which a
        number was missing: what cannot be checked has not passed.
        """
        return [row for row in self.asserted if row.verdict in (FAILS, NO_DATA)]

    @property
    def asserted(self) -> list[CheckRow]:
        """Rows that could have failed: every check, and every fit with enough points."""
        return [row for row in self.rows if row.kind != "prediction" and row.asked]

    def of(self, kind: str, name: str | None = None) -> list[CheckRow]:
        return [row for row in self.rows if row.kind == kind and name in (None, row.name)]


def judge(experiment: Experiment, trials: Sequence[MeasuredTrial]) -> Verdicts:
    """Evaluate every assertion of the experiment on the finished trials of a run."""
    rows = [row for check in experiment.checks for row in _per_trial("check", check, trials)]
    rows += [row for fit in experiment.fits for row in _per_group("fit", fit, trials)]
    predictions = {}
    for prediction in experiment.predictions:
        made = _per_trial if prediction.against is None else _per_group
        found = list(made("prediction", prediction, trials))
        rows += found
        predictions[prediction.name] = of_prediction(row.verdict for row in found)
    return Verdicts(rows, predictions)


@dataclass(frozen=True)
class _Subject:
    """What an assertion is made about."""

    kind: str
    item: Assertion
    name: str
    levels: Mapping[str, Level]

    def compare(self, measured: float, expected: float, allowed: float) -> CheckRow:
        holds = {
            "==": abs(measured - expected) <= allowed,
            "<=": measured <= expected + allowed,
            ">=": measured >= expected - allowed,
        }[self.item.relation]
        return self._row(measured, expected, allowed, HOLDS if holds else FAILS)

    def no_data(self, reason: str, *, asked: bool = True) -> CheckRow:
        row = self._row(None, None, None, NO_DATA)
        return replace(row, reason=reason, asked=asked)

    def _row(
        self, measured: float | None, expected: float | None, allowed: float | None, verdict: str
    ) -> CheckRow:
        return CheckRow(
            kind=self.kind,
            name=self.item.name,
            subject=self.name,
            levels=self.levels,
            measured=measured,
            expected=expected,
            allowed=allowed,
            unit=self.item.unit,
            verdict=verdict,
        )


def _per_trial(kind: str, item: Assertion, trials: Sequence[MeasuredTrial]) -> Iterator[CheckRow]:
    for trial in trials:
        if not expression.truth(item.where, trial.factors):
            continue
        subject = _Subject(kind, item, trial.id, trial.factors)
        try:
            measured = expression.number(item.measured, trial.names)
            expected, allowed = _theory(item, trial.names)
        except (NoData, ExpressionError) as error:
            yield subject.no_data(_cause(error, item, trial))
        else:
            yield subject.compare(measured, expected, allowed)


def _per_group(
    kind: str, fit: Fit | Prediction, trials: Sequence[MeasuredTrial]
) -> Iterator[CheckRow]:
    if fit.against is None:
        raise ValueError(f"{fit.name} is not about a slope")
    groups: dict[tuple[Level, ...], list[MeasuredTrial]] = {}
    for trial in trials:
        if expression.truth(fit.where, trial.factors):
            groups.setdefault(tuple(trial.factors[name] for name in fit.by), []).append(trial)
    for key, members in groups.items():
        levels = dict(zip(fit.by, key, strict=True))
        name = " ".join(f"{factor}={level}" for factor, level in levels.items()) or "all"
        subject = _Subject(kind, fit, name, levels)
        xs: list[float] = []
        ys: list[float] = []
        try:
            for trial in members:
                xs.append(expression.number(fit.against, trial.names))
                ys.append(expression.number(fit.measured, trial.names))
            expected, allowed = _theory(fit, levels)
        except (NoData, ExpressionError) as error:
            yield subject.no_data(_cause(error, fit, trial))
            continue
        if len(set(xs)) < 2:
            reason = f"a slope needs two different values of `{fit.against}`"
            yield subject.no_data(reason, asked=False)
        else:
            yield subject.compare(slope(xs, ys), expected, allowed)


def _theory(item: Assertion, names: Mapping[str, Any]) -> tuple[float, float]:
    """The expected value and the difference that is allowed."""
    expected = expression.number(item.expected, names)
    scale = expected if item.scale is None else expression.number(item.scale, names)
    return expected, item.relative * abs(scale) + expression.number(item.absolute, names)


def _cause(error: Exception, item: Assertion, trial: MeasuredTrial) -> str:
    """Why a metric is missing, rather than that it is."""
    used = expression.names(expression.parse(item.measured))
    return next((trial.missing[name] for name in sorted(used) if name in trial.missing), str(error))
