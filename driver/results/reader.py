# SPDX-License-Identifier: Apache-2.0
"""Reading a run back, and refusing one that is not what it claims to be."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.faults import TrialRow
from driver.results.manifest import Level, Manifest, read_manifest
from driver.results.schema import ADDED_TRIAL_COLUMNS, CHECK_COLUMNS, OK
from driver.results.writer import sample_columns, trial_columns
from driver.text import reason
from driver.validity import InvalidMeasurement


@dataclass(frozen=True)
class Run:
    """A run as it was read from disk.

    ``trials`` has one row per planned trial, ``samples`` one per number, ``checks`` one per
    assertion (empty before they were made). Factor columns carry the levels' own types.
    """

    manifest: Manifest
    trials: pd.DataFrame
    samples: pd.DataFrame
    checks: pd.DataFrame

    @property
    def name(self) -> str:
        return self.manifest.run

    @property
    def factors(self) -> list[str]:
        return self.manifest.factors

    @property
    def finished(self) -> pd.DataFrame:
        """The trials that went well."""
        return self.trials[self.trials["verdict"] == OK]


def read_run(path: Path) -> Run:
    """Load and validate the run in a directory.

    Raises :class:`UserError` naming the file for a missing or damaged table, a trial that was
    not planned, a number twice, or a number its accelerator cannot have measured.
    """
    directory = RunDirectory(path.resolve())
    if not directory.manifest.is_file():
        raise UserError(
            f"{path} is not a run: it has no manifest.json", hint="List the runs: driver list"
        )
    manifest = read_manifest(directory)
    trials = _table(
        directory.trials_csv, trial_columns(manifest.factors), optional=ADDED_TRIAL_COLUMNS
    )
    samples = _table(directory.samples_csv, sample_columns(manifest.factors))
    levels = _levels(manifest)
    for table, file in ((trials, directory.trials_csv), (samples, directory.samples_csv)):
        _check_plan(table, manifest, file)
        for factor in manifest.factors:
            table[factor] = table[factor].map(levels[factor])
    counts = ("sequence", "repeat", "attempts", "host_faults")
    trials["host_faults"] = trials["host_faults"].replace("", "0")
    _make_numbers(trials, counts, directory.trials_csv, finite=counts)
    _make_numbers(samples, ("process", "value"), directory.samples_csv, finite=("value",))
    _check_numbers(samples, manifest, directory.samples_csv)
    return Run(manifest, trials, samples, read_checks(directory))


def fault_rows(run: Run) -> list[TrialRow]:
    """What became of each trial, for :mod:`driver.results.faults`."""
    columns = (run.trials[name].tolist() for name in TrialRow._fields)
    return [TrialRow(*row) for row in zip(*columns, strict=True)]


def read_checks(run: RunDirectory) -> pd.DataFrame:
    """One row per assertion of a run; none before they were made. Raises as :func:`read_run`."""
    if not run.checks_csv.is_file():
        return pd.DataFrame(columns=list(CHECK_COLUMNS))
    checks = _table(run.checks_csv, CHECK_COLUMNS)
    _make_numbers(checks, ("measured", "expected", "allowed"), run.checks_csv)
    return checks


def _again(path: Path) -> str:
    """How the CSV files of a run are made again."""
    run = shlex.quote(str(path.parent))
    return f"Make the CSV files of the run again: driver show {run} --rebuild"


def _make_numbers(
    table: pd.DataFrame, columns: Sequence[str], path: Path, *, finite: Sequence[str] = ()
) -> None:
    """Turn the text of some columns into numbers, in place; an empty cell holds none.

    The columns ``finite`` must have a finite number in every cell.
    """
    for column in columns:
        text = table[column]
        try:
            numbers = pd.to_numeric(text)
            if column in finite:
                _require_finite(numbers, text)
            table[column] = numbers.astype("Int64") if column == "process" else numbers
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}: {column}: {error}", hint=_again(path)) from error


def _require_finite(numbers: pd.Series[Any], text: pd.Series[str]) -> None:
    """Raise ValueError with the first cell whose ``text`` is no finite number."""
    is_finite = np.isfinite(numbers.astype(float))
    if not is_finite.all():
        row = int(np.argmin(is_finite))
        raise ValueError(f"{text.iloc[row]!r} in row {row + 1} is not a finite number")


def _table(path: Path, columns: Sequence[str], *, optional: Collection[str] = ()) -> pd.DataFrame:
    """The cells of a CSV file as text; those of ``optional`` columns that it lacks are empty."""
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise UserError(f"{path} cannot be read: {reason(error)}", hint=_again(path)) from error
    required = [name for name in columns if name not in optional]
    if list(table.columns) == required:
        table = table.reindex(columns=list(columns), fill_value="")
    if tuple(table.columns) != tuple(columns):
        raise UserError(
            f"{path} has the columns {', '.join(table.columns)}, not {', '.join(columns)}",
            hint=_again(path),
        )
    return table


def _levels(manifest: Manifest) -> Mapping[str, Mapping[str, Level]]:
    return {
        factor: {str(planned.factors[factor]): planned.factors[factor] for planned in manifest.plan}
        for factor in manifest.factors
    }


def _check_plan(table: pd.DataFrame, manifest: Manifest, path: Path) -> None:
    planned = {trial.id: trial.factors for trial in manifest.plan}
    for row in table[["trial", *manifest.factors]].drop_duplicates().to_dict("records"):
        factors = planned.get(str(row["trial"]))
        if factors is None:
            raise UserError(
                f"{path} has the trial {row['trial']}, which was never planned", hint=_again(path)
            )
        if any(str(level) != row[factor] for factor, level in factors.items()):
            raise UserError(
                f"{path}: the factors of {row['trial']} are not those of the plan",
                hint=_again(path),
            )


def _check_numbers(samples: pd.DataFrame, manifest: Manifest, path: Path) -> None:
    key = ["trial", "phase", "source", "metric", "process"]
    twice = samples[samples.duplicated(key)]
    if not twice.empty:
        row = twice.iloc[0]
        raise UserError(
            f"{path} has {row['source']} {row['metric']} twice "
            f"in the phase {row['phase']} of {row['trial']}",
            hint=_again(path),
        )
    for unit, rows in samples.groupby("unit"):
        value = float(rows["value"].iloc[0])
        try:
            _, admitted = manifest.validity.admit(value, str(unit))
        except InvalidMeasurement as error:
            raise UserError(f"{path}: {error}", hint=_again(path)) from error
        if admitted != unit and manifest.icount_shift is not None:
            raise UserError(
                f"{path}: a run under icount counts instructions, but has a value in {unit}",
                hint=_again(path),
            )
