# SPDX-License-Identifier: Apache-2.0
"""Reading what the programs of a suite reported from a run's directory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from driver.errors import UserError
from driver.experiment.bases import definition_of
from driver.experiment.definition import Cases, Level, level_text
from driver.guest.job import JobResult
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest
from driver.results.record import TrialRecord, read_raw, read_record
from driver.results.tidy import numbers
from driver.suite.experiment import END, PROGRAM, START
from driver.suite.findings import ProgramReport, died, finished


def read_reports(run: RunDirectory, manifest: Manifest) -> Iterator[ProgramReport]:
    """What each program reported on each kernel, of the trials that are over.

    A kernel is named by the levels of all factors but the program. Raises :class:`UserError` for a
    run whose experiment prints no test cases, or is damaged.
    """
    rules = definition_of(manifest, run.manifest).experiment.cases
    if rules is None:
        raise UserError(
            f"the run {run.name} is of no suite: {manifest.experiment.name} prints no test cases",
            hint=f"Show it with: driver show {run.name}",
        )
    for planned in manifest.plan:
        record = read_record(run, planned.id)
        if record is not None:
            yield _report(run, manifest, rules, record)


def _report(
    run: RunDirectory, manifest: Manifest, rules: Cases, record: TrialRecord
) -> ProgramReport:
    program = level_text(record.factors[PROGRAM]) if PROGRAM in record.factors else record.id
    found, counters = died(record.last.verdict, record.last.message), dict[str, float]()
    if record.ok:
        result = read_raw(run, record.id)
        found = finished(rules, program, result)
        counters = _increases(result, manifest)
    return ProgramReport(
        kernel=kernel_of(record.factors),
        program=program,
        round=record.repeat,
        report=found,
        counters=counters,
        seconds=sum(attempt.host_seconds for attempt in record.attempts),
    )


def kernel_of(factors: Mapping[str, Level]) -> str:
    """The levels of all factors but the program, as in the name of a trial."""
    return "_".join(level_text(level) for name, level in factors.items() if name != PROGRAM)


def _increases(result: JobResult, manifest: Manifest) -> dict[str, float]:
    """By how much each counter rose between the phases."""
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    for number in numbers(result, manifest.keep, manifest.validity).kept:
        if number.process is None and number.phase in (START, END):
            (first if number.phase == START else last)[number.metric] = number.value
    return {name: value - first[name] for name, value in last.items() if name in first}
