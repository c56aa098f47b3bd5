# SPDX-License-Identifier: Apache-2.0
"""A run for other programs: as JSON for scripts, as JUnit's XML for CI systems."""

from __future__ import annotations

import json
from collections.abc import Iterator

from driver.experiment.conclusion import Conclusion
from driver.experiment.verdicts import CheckRow
from driver.results.schema import OK, PENDING
from driver.results.verdict import FAILS, HOLDS, REFUTED
from driver.suite import junit
from driver.suite.case import Case

__all__ = ["run_as_json", "run_as_junit"]


def run_as_json(conclusion: Conclusion) -> str:
    """One object: what became of the run, its trials with their metrics, and its checks.

    ``exit_status`` and ``complaint`` are what ``driver show`` ends with; ``checks`` are the rows of
    ``checks.csv``. Numbers are in the units of the experiment's metrics.
    """
    complaint = conclusion.complaint()
    measured = {trial.id: trial for trial in conclusion.trials}
    metrics = conclusion.experiment.metrics
    trials = []
    for row in conclusion.run.trials.to_dict("records"):
        trial = measured.get(str(row["trial"]))
        trials.append(
            {
                "trial": str(row["trial"]),
                "verdict": str(row["verdict"]),
                "factors": {name: row[name] for name in conclusion.run.factors},
                "metrics": {
                    name: trial.names[name]
                    for name in metrics
                    if trial is not None and name in trial.names
                },
            }
        )
    found = {
        "run": conclusion.directory.name,
        "experiment": conclusion.run.manifest.experiment.name,
        "exit_status": complaint.exit_status if complaint else 0,
        "complaint": complaint.message if complaint else None,
        "units": {name: metric.unit for name, metric in metrics.items()},
        "trials": trials,
        "checks": [row.as_record() for row in conclusion.verdicts.rows],
        "predictions": conclusion.verdicts.predictions,
    }
    # Factors may be numbers of numpy, which know what they are in Python.
    return json.dumps(found, indent=2, default=lambda number: number.item()) + "\n"


def run_as_junit(conclusion: Conclusion) -> str:
    """Each trial, each check and each prediction as a test case.

    A check that does not hold, and a trial that failed, are failures. A prediction that was refuted
    is a result, and counts as skipped, as does a trial that has not been run.
    """
    seconds = sum(
        attempt.host_seconds for record in conclusion.records for attempt in record.attempts
    )
    rows = conclusion.verdicts.rows
    return junit.document(
        conclusion.directory.name,
        [
            junit.Group("trials", list(_trials(conclusion)), seconds),
            junit.Group("checks", [_check(row) for row in conclusion.verdicts.asserted]),
            junit.Group("predictions", [_check(row) for row in rows if row.kind == "prediction"]),
        ],
    )


def _trials(conclusion: Conclusion) -> Iterator[Case]:
    records = {record.id: record for record in conclusion.records}
    for trial, verdict in conclusion.run.trials[["trial", "verdict"]].itertuples(index=False):
        record = records.get(str(trial))
        note = record.last.message if record else ""
        if verdict == OK:
            yield Case(str(trial), "ok")
        elif verdict == PENDING:
            yield Case(str(trial), "skip", "has not been run")
        else:
            yield Case(str(trial), "not ok", f"{verdict}: {note}" if note else str(verdict))


def _check(row: CheckRow) -> Case:
    name = f"{row.name} > {row.subject}"
    if row.verdict == HOLDS:
        return Case(name, "ok")
    note = row.reason or f"measured {row.measured:g}, expected {row.expected:g} {row.unit}"
    if row.kind == "prediction":
        return Case(name, "todo", f"{REFUTED if row.verdict == FAILS else row.verdict}: {note}")
    return Case(name, "not ok", note)
