# SPDX-License-Identifier: Apache-2.0
"""What instruments saw of each trial: tables, and one CSV file per table for the whole run."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.instruments import instruments
from driver.instruments.instrument import Row, Table
from driver.results.directory import RunDirectory
from driver.suggestion import did_you_mean
from driver.text import reason

if TYPE_CHECKING:
    import pandas as pd

# The rows of each table, by its name.
Observations = Mapping[str, Sequence[Row]]


def tables() -> Mapping[str, Table]:
    """The tables of all instruments, by name."""
    return {table.name: table for one in instruments().values() for table in one.tables}


def columns(table: Table, factors: Sequence[str]) -> tuple[str, ...]:
    """The columns of a table in the file of a run: the factors stand after the trial."""
    return ("run", "trial", *factors, *table.columns)


def write_observations(run: RunDirectory, trial: str, seen: Observations) -> None:
    """Keep what was seen of a trial; to be called before its record is written."""
    for name, rows in seen.items():
        path = _path(run, trial, name)
        path.parent.mkdir(exist_ok=True)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, list(tables()[name].columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        packed = io.BytesIO()
        with gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as file:
            file.write(text.getvalue().encode())
        write_atomically(path, packed.getvalue())


def read_observations(run: RunDirectory, trial: str, table: str) -> Iterator[dict[str, str]]:
    """The rows that were kept of a trial; none if nothing was. :class:`UserError` if damaged."""
    path = _path(run, trial, table)
    if not path.exists():
        return
    try:
        with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise UserError(f"{path} is damaged: {reason(error)}", hint=run.again(trial)) from error


def read_table(run: RunDirectory, name: str) -> pd.DataFrame:
    """A table of a run. Raises :class:`UserError` if the run was made without the instrument."""
    import pandas as pd  # noqa: PLC0415  (half a second)

    path = run.path / name
    if not path.is_file():
        makers = [one.name for one in instruments().values() if name in _names(one.tables)]
        raise UserError(
            f"the run {run.name} has no table of {name}",
            hint="Run the experiment again: "
            f"driver run experiment {run.experiment} --instrument {makers[0]}"
            if makers
            else did_you_mean(name, tables(), "Possible"),
        )
    return pd.read_csv(path, keep_default_na=False)


def _names(found: Sequence[Table]) -> list[str]:
    return [table.name for table in found]


def _path(run: RunDirectory, trial: str, table: str) -> Path:
    return run.observations / f"{trial}.{table}.gz"
