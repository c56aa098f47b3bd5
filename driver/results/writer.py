# SPDX-License-Identifier: Apache-2.0
"""Deriving the CSV files of a run from its records."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from driver.atomic_write import write_atomically
from driver.results import observations
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest
from driver.results.record import read_raw, read_record
from driver.results.schema import CHECK_COLUMNS, PENDING, SAMPLE_COLUMNS, TRIAL_COLUMNS
from driver.results.tidy import Number, numbers


def write_tables(
    run: RunDirectory, manifest: Manifest, kept: Mapping[str, Sequence[Number]] | None = None
) -> None:
    """Write ``trials.csv`` and ``samples.csv`` from what is on disk; absent trials are pending.

    ``kept`` are the numbers of trials whose texts have been parsed already, by the trial's name.
    """
    kept = kept or {}
    trials: list[dict[str, Any]] = []
    samples: list[dict[str, Any]] = []
    for planned in manifest.plan:
        common = {"run": run.name, "trial": planned.id, **planned.factors}
        record = read_record(run, planned.id)
        last = record.last if record else None
        trials.append(
            {
                **common,
                "sequence": planned.sequence,
                "repeat": planned.repeat,
                "verdict": last.verdict if last else PENDING,
                "attempts": len(record.attempts) if record else 0,
                "faults": " ".join(fault.kind for fault in record.faults) if record else "",
                "host_faults": record.host_faults if record else 0,
                "message": last.message if last else "",
                "excerpt": last.excerpt if last else "",
            }
        )
        if record is None or not record.ok:
            continue
        found = kept.get(planned.id)
        if found is None:
            found = numbers(read_raw(run, planned.id), manifest.keep, manifest.validity).kept
        samples += ({**common, **vars(number)} for number in found)
    _write_observations(run, manifest)
    write_atomically(run.trials_csv, _csv(trial_columns(manifest.factors), trials))
    write_atomically(run.samples_csv, _csv(sample_columns(manifest.factors), samples))


def _write_observations(run: RunDirectory, manifest: Manifest) -> None:
    """Write a file for each table of which instruments have seen any rows."""
    for table in observations.tables().values():
        rows = [
            {"run": run.name, "trial": planned.id, **planned.factors, **row}
            for planned in manifest.plan
            for row in observations.read_observations(run, planned.id, table.name)
        ]
        path = run.path / table.name
        if rows:
            names = observations.columns(table, manifest.factors)
            write_atomically(path, _csv(names, rows))
        else:
            path.unlink(missing_ok=True)


def write_checks(run: RunDirectory, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write ``checks.csv``: what was asserted, measured and expected."""
    named = ({"run": run.name, **row} for row in rows)
    write_atomically(run.checks_csv, _csv(CHECK_COLUMNS, named))


def trial_columns(factors: Sequence[str]) -> tuple[str, ...]:
    """The columns of ``trials.csv``: the factors stand after the trial's identity."""
    return (*TRIAL_COLUMNS[:2], *factors, *TRIAL_COLUMNS[2:])


def sample_columns(factors: Sequence[str]) -> tuple[str, ...]:
    """The columns of ``samples.csv``: the factors stand after the trial's identity."""
    return (*SAMPLE_COLUMNS[:2], *factors, *SAMPLE_COLUMNS[2:])


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
