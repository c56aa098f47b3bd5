# SPDX-License-Identifier: Apache-2.0
"""Rendering a run as one page of HTML: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from driver import __version__
from driver.experiment.conclusion import Conclusion
from driver.experiment.summary import Grid, grid
from driver.htmlreport import origin
from driver.htmlreport.assertions import AssertionReports
from driver.htmlreport.instructions import window_bars
from driver.results.record import Attempt, TrialRecord, read_record
from driver.results.schema import OK
from driver.results.verdict import REFUTED
from driver.text import counted, quantity

_TEMPLATES = Path(__file__).with_name("templates")
_PAGE = "page.html.j2"


@dataclass(frozen=True)
class Headline:
    """The result of the run in one line and one colour."""

    css_class: str
    text: str


@dataclass(frozen=True)
class AttemptReport:
    """An attempt that failed, or in which the kernel complained; ``excerpt`` shows it."""

    trial: str
    number: int
    attempts: int
    attempt: Attempt
    excerpt: str

    @property
    def words(self) -> str:
        """What was wrong, in a word or two."""
        kinds = dict.fromkeys(fault.kind for fault in self.attempt.faults)
        return ", ".join(kinds) or self.attempt.verdict

    @property
    def message(self) -> str:
        """The same in a sentence."""
        return self.attempt.message or "; ".join(one.message for one in self.attempt.complaints)


def _as_printed(_record: TrialRecord, attempt: Attempt) -> str:
    return attempt.excerpt


def render(
    conclusion: Conclusion, *, excerpt: Callable[[TrialRecord, Attempt], str] = _as_printed
) -> str:
    """The page. Everything in it that a person wrote or a guest printed is escaped.

    ``excerpt`` gives the evidence of an attempt, which may have been enriched.
    """
    manifest = conclusion.run.manifest
    experiment = conclusion.experiment
    reports = AssertionReports(conclusion)
    records = [read_record(conclusion.directory, planned.id) for planned in manifest.plan]
    found = [record for record in records if record is not None]
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(_PAGE).render(
        run=conclusion.run.name,
        name=manifest.experiment.name,
        manifest=manifest,
        experiment=experiment,
        headline=_headline(conclusion),
        grids=_grids(conclusion) if conclusion.trials else [],
        fits=reports.fits(),
        predictions=reports.predictions(),
        checks=reports.checks(),
        metrics=reports.metrics(),
        failures=conclusion.verdicts.failures,
        attempts=_attempts(conclusion, excerpt),
        faults=conclusion.faults.sentences(),
        pending=_pending(conclusion),
        refusals=_refusals(found),
        records_known=len(found) == len(records) - len(_pending(conclusion)),
        window_bars=window_bars(conclusion.directory),
        validity=origin.validity(manifest),
        host=origin.host(manifest),
        guests=[origin.guest(record) for record in manifest.guests],
        commands=origin.how_to_repeat(manifest),
        caveats=origin.caveats(manifest),
        quantity=quantity,
        version=__version__,
    )


def _headline(conclusion: Conclusion) -> Headline:
    run, verdicts = conclusion.run, conclusion.verdicts
    unfinished = len(run.trials) - len(run.finished)
    trouble = []
    if conclusion.blamed:
        where = counted(len(conclusion.blamed.trials), "trial")
        trouble.append(f"kernel or workload at fault in {where}: {conclusion.blamed.kinds()}")
    if unfinished:
        trouble.append(f"{counted(unfinished, 'trial')} of {len(run.trials)} without result")
    if verdicts.failures:
        failing = counted(len(verdicts.failures), "check")
        trouble.append(f"{failing} of {len(verdicts.asserted)} do not hold")
    if trouble:
        return Headline("bad", ", ".join(trouble))
    if not verdicts.asserted:
        return Headline("open", "nothing was checked")
    refuted = sum(verdict == REFUTED for verdict in verdicts.predictions.values())
    learnt = f", {counted(refuted, 'prediction')} refuted" if refuted else ""
    return Headline("good", f"all {counted(len(verdicts.asserted), 'check')} hold{learnt}")


def _attempts(
    conclusion: Conclusion, excerpt: Callable[[TrialRecord, Attempt], str]
) -> list[AttemptReport]:
    """All attempts of which something has to be said, in plan order."""
    return [
        AttemptReport(record.id, number, len(record.attempts), attempt, excerpt(record, attempt))
        for record in conclusion.records
        for number, attempt in enumerate(record.attempts, start=1)
        if attempt.verdict != OK or attempt.faults
    ]


def _grids(conclusion: Conclusion) -> list[Grid]:
    experiment = conclusion.experiment
    return [grid(experiment, table, conclusion.trials) for table in experiment.summary_tables]


def _pending(conclusion: Conclusion) -> list[str]:
    """Trials that were planned and never begun or never finished."""
    table = conclusion.run.trials
    failed = {record.id for record in conclusion.failed}
    unfinished = table[table["verdict"] != OK]["trial"]
    return [str(name) for name in unfinished if name not in failed]


def _refusals(records: list[TrialRecord]) -> dict[str, list[str]]:
    """Measurements that were left out: each reason once, with its trials."""
    found: dict[str, list[str]] = {}
    for record in records:
        for refusal in record.refused:
            found.setdefault(refusal, []).append(record.id)
    return found
