# SPDX-License-Identifier: Apache-2.0
"""Finished runs: find them, read them, compare two, write one as a page."""

from __future__ import annotations

from pathlib import Path

from driver.api.decoding import decode_trial, explained, with_note
from driver.api.workspace import Workspace, default
from driver.compare import comparison, functions
from driver.compare.comparison import Comparison
from driver.compare.condition import Condition, ConditionMet
from driver.compare.condition import findings as conditions_met
from driver.compare.condition import parse as parse_condition
from driver.compare.export import as_csv as comparison_as_csv
from driver.compare.export import as_json as comparison_as_json
from driver.compare.functions import WindowChange
from driver.errors import DriverError
from driver.experiment import lifecycle
from driver.experiment.conclusion import Conclusion, read_conclusion
from driver.htmlreport.page import render
from driver.results.directory import RunDirectory
from driver.results.manifest import Options, read_manifest
from driver.results.record import Attempt, TrialRecord

__all__ = [
    "Comparison",
    "Conclusion",
    "Condition",
    "ConditionMet",
    "RunDirectory",
    "compare_functions",
    "compare_runs",
    "comparison_as_csv",
    "comparison_as_json",
    "complaint",
    "conditions_met",
    "find_run",
    "html_report",
    "parse_condition",
    "read_run",
    "rebuild_run",
    "run_options",
]

# A run by its name, its directory, or as it was read before.
AnyRun = str | Path | RunDirectory | Conclusion


def find_run(name: str | Path, *, workspace: Workspace | None = None) -> RunDirectory:
    """The run of a name: a path, one of the project's results, or ``latest``.

    A path needs no project. Raises :class:`UserError` if there is no such run.
    """
    if (Path(name) / "manifest.json").is_file():
        return RunDirectory(Path(name).resolve())
    return RunDirectory.find((workspace or default()).project.results, str(name))


def read_run(run: AnyRun, *, workspace: Workspace | None = None) -> Conclusion:
    """What a run measured, and what became of its checks, read from its files.

    ``conclusion.run.samples`` and ``.trials`` are data frames, ``conclusion.verdicts`` are checks
    and predictions. Raises :class:`UserError` for a run that has not finished or is damaged.
    """
    if isinstance(run, Conclusion):
        return run
    directory = run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace)
    return read_conclusion(directory)


def run_options(run: str | Path | RunDirectory, *, workspace: Workspace | None = None) -> Options:
    """What was asked for when a run began, on top of its experiment."""
    directory = run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace)
    return read_manifest(directory).options


def rebuild_run(run: str | Path | RunDirectory, *, workspace: Workspace | None = None) -> None:
    """Make the CSV files of a run again, from the records of its trials."""
    directory = run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace)
    lifecycle.rebuild(directory)


def compare_runs(
    first: AnyRun,
    second: AnyRun,
    *,
    confidence: float = 0.95,
    workspace: Workspace | None = None,
) -> Comparison:
    """What changed from one run of an experiment to another, number by number.

    ``confidence`` is that of the intervals of numbers that vary from repeat to repeat. Raises
    :class:`UserError` for runs of different experiments.
    """
    return comparison.compare_runs(
        read_run(first, workspace=workspace),
        read_run(second, workspace=workspace),
        confidence=confidence,
    )


def compare_functions(
    first: str | Path | RunDirectory,
    second: str | Path | RunDirectory,
    *,
    per: str | None = None,
    workspace: Workspace | None = None,
) -> list[WindowChange]:
    """What changed by function of the kernel, in what the workload measures.

    Per window, or per call of the function ``per``. The instrument ``functions`` must have watched
    both runs; raises :class:`UserError` if not.
    """
    runs = [
        run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace)
        for run in (first, second)
    ]
    return functions.compare_functions(*runs, per=per)


def complaint(conclusion: Conclusion, *, workspace: Workspace | None = None) -> DriverError | None:
    """What is wrong with a run, as the error that ``driver run`` would exit with; None if nothing.

    If a kernel crashed, the error's excerpt has source lines, where its kernel is in the cache.
    """
    found = conclusion.complaint()
    return found and explained(found, conclusion, workspace or default())


def html_report(run: AnyRun, *, workspace: Workspace | None = None) -> str:
    """A run as one self-contained page of HTML."""
    place = workspace or default()
    conclusion = read_run(run, workspace=place)

    def excerpt(record: TrialRecord, attempt: Attempt) -> str:
        manifest, experiment = conclusion.run.manifest, conclusion.experiment
        found = decode_trial(
            attempt.excerpt, manifest, experiment, record.factors, store=place.store
        )
        return with_note(found)

    return render(conclusion, excerpt=excerpt)
