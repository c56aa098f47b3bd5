# SPDX-License-Identifier: Apache-2.0
"""Every assertion of an experiment and its outcome, arranged for reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import Assertion, Level
from driver.experiment.formulas import is_measured
from driver.experiment.summary import order
from driver.experiment.verdicts import CheckRow
from driver.htmlreport.assertion_charts import Arms, charts
from driver.htmlreport.chart import ChartSeries, Drawing
from driver.results.verdict import CONFIRMED, FAILS, HOLDS, NO_DATA, REFUTED, UNDECIDED
from driver.text import extent

_RELATIONS = {"==": "", "<=": "at most ", ">=": "at least "}
MEASURED = "measured"


@dataclass(frozen=True)
class ReportLine:
    """All repeats of one combination of levels: what they measured, and the verdict."""

    levels: tuple[str, ...]
    measured: str
    expected: str
    allowed: str
    verdict: str
    css_class: str


@dataclass(frozen=True)
class AssertionReport:
    """A fit, a prediction or a check, or a metric without an assertion."""

    kind: str
    name: str
    claim: str
    verdict: str
    tally: str
    factors: tuple[str, ...]
    lines: tuple[ReportLine, ...]
    drawings: tuple[Drawing, ...]
    legend: tuple[ChartSeries, ...]
    explanation: str = ""

    @property
    def exceeds_tolerance(self) -> bool:
        """Whether any mark is farther from what was predicted than is allowed."""
        return any(not mark.good for drawing in self.drawings for mark in drawing.marks)

    @property
    def css_class(self) -> str:
        """How the page marks it."""
        return _css_class(self.verdict, self.kind)


@dataclass(frozen=True)
class AssertionReports:
    """Arranges the verdicts of one run for reading."""

    conclusion: Conclusion

    def fits(self) -> list[AssertionReport]:
        items = self.conclusion.experiment.fits
        return [self._of("fit", item, self._rows("fit", item.name)) for item in items]

    def predictions(self) -> list[AssertionReport]:
        found = []
        for item in self.conclusion.experiment.predictions:
            verdict = self.conclusion.verdicts.predictions[item.name]
            why = item.finding if verdict == REFUTED else ""
            rows = self._rows("prediction", item.name)
            found.append(self._of("prediction", item, rows, verdict=verdict, explanation=why))
        return found

    def checks(self) -> list[AssertionReport]:
        items = self.conclusion.experiment.checks
        return [self._of("check", item, self._rows("check", item.name)) for item in items]

    def metrics(self) -> list[AssertionReport]:
        """What was measured and neither asserted nor shown in a table."""
        experiment = self.conclusion.experiment
        known = {item.measured for item in (*experiment.checks, *experiment.predictions)}
        known |= {table.metric for table in experiment.summary_tables}
        found = []
        for name, metric in experiment.metrics.items():
            rows = [
                CheckRow(
                    kind="metric",
                    name=name,
                    subject=trial.id,
                    levels=trial.factors,
                    measured=float(trial.names[name]),
                    expected=None,
                    allowed=None,
                    unit=metric.unit,
                    verdict=MEASURED,
                )
                for trial in self.conclusion.trials
                if name in trial.names
            ]
            if rows and name not in known and is_measured(experiment, metric.value):
                item = Assertion(
                    name=name,
                    claim=metric.label or name,
                    measured=name,
                    expected="0",
                    unit=metric.unit,
                )
                found.append(self._of("metric", item, rows, verdict=MEASURED))
        return found

    def _rows(self, kind: str, name: str) -> list[CheckRow]:
        return self.conclusion.verdicts.of(kind, name)

    def _of(
        self,
        kind: str,
        item: Assertion,
        rows: Sequence[CheckRow],
        *,
        verdict: str | None = None,
        explanation: str = "",
    ) -> AssertionReport:
        experiment = self.conclusion.experiment
        planned = [trial.factors for trial in self.conclusion.run.manifest.plan]
        arms = Arms.of(experiment, planned)
        # A slope belongs to a group of trials and has no place on any axis.
        per_trial = all(set(row.levels) == set(experiment.factors) for row in rows)
        drawings, legend = charts(experiment, rows, arms, item.unit) if per_trial else ([], [])
        groups: dict[tuple[Level, ...], list[CheckRow]] = {}
        for row in sorted(rows, key=lambda row: order(experiment, row.levels)):
            groups.setdefault(tuple(row.levels.values()), []).append(row)
        return AssertionReport(
            kind=kind,
            name=item.name,
            claim=item.claim,
            verdict=verdict or _verdict(rows),
            tally=_tally(rows),
            factors=tuple(rows[0].levels) if rows else (),
            lines=tuple(_line(levels, members, item, kind) for levels, members in groups.items()),
            drawings=tuple(drawings),
            legend=tuple(legend),
            explanation=explanation,
        )


def _css_class(verdict: str, kind: str) -> str:
    """``good``; ``bad`` for what makes the run fail; ``open`` for what a prediction may do."""
    if verdict in (HOLDS, CONFIRMED, MEASURED):
        return "good"
    return "bad" if verdict == FAILS and kind != "prediction" else "open"


def _verdict(rows: Sequence[CheckRow]) -> str:
    verdicts = {row.verdict for row in rows}
    if FAILS in verdicts:
        return FAILS
    if not rows or verdicts == {NO_DATA}:
        return NO_DATA
    return HOLDS if verdicts == {HOLDS} else UNDECIDED


def _tally(rows: Sequence[CheckRow]) -> str:
    """How often each verdict was reached: ``holds in 41, fails in 1``."""
    counts = Counter(row.verdict for row in rows)
    if not rows:
        return "applies to no trial"
    if len(counts) == 1:
        (verdict,) = counts
        return f"{verdict} in all {len(rows)}" if len(rows) > 1 else f"{verdict} in one case"
    return ", ".join(f"{verdict} in {count}" for verdict, count in counts.most_common())


def _line(
    levels: Sequence[Level], rows: Sequence[CheckRow], item: Assertion, kind: str
) -> ReportLine:
    unit = item.unit
    measured = {row.measured for row in rows if row.measured is not None}
    expected = {row.expected for row in rows if row.expected is not None}
    allowed = {row.allowed for row in rows if row.allowed is not None}
    counts = Counter(row.verdict for row in rows)
    verdict = next(iter(counts)) if len(counts) == 1 else _tally(rows)
    reasons = {row.reason for row in rows if row.reason}
    worst = verdict if len(counts) == 1 else FAILS if FAILS in counts else NO_DATA
    return ReportLine(
        levels=tuple(str(level) for level in levels),
        measured=extent(measured, unit) or "; ".join(sorted(reasons)),
        expected=_RELATIONS[item.relation] + extent(expected, unit) if expected else "",
        allowed=extent(allowed, unit),
        verdict=verdict,
        css_class=_css_class(worst, kind),
    )
