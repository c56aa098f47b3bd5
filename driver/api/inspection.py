# SPDX-License-Identifier: Apache-2.0
"""Page tables as they were in a guest's memory: of a run that was watched, or of a dump."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from driver.api.dumps import find_dump
from driver.api.runs import AnyRun, find_run
from driver.api.workspace import Workspace
from driver.instruments.page_tables import AUDIT, INSTRUMENT, TABLES
from driver.results.directory import RunDirectory
from driver.results.observations import read_table


@dataclass(frozen=True)
class PageTables:
    """Tables of one trial (:mod:`driver.instruments.page_tables` names the columns).

    ``tables`` has a row for each page table of each mapping of a DAX file, ``audit`` one for each
    number that the kernel states and that was found in its memory.
    """

    trial: str
    tables: pd.DataFrame
    audit: pd.DataFrame

    @property
    def phases(self) -> list[str]:
        """Those at which the guest was looked at, in order."""
        return list(dict.fromkeys(self.audit["phase"]))

    @property
    def differences(self) -> pd.DataFrame:
        """Where the kernel states one number and its memory has another."""
        return self.audit[self.audit["stated"] != self.audit["found"]]


def page_tables(
    run: str | Path | RunDirectory, trial: str, *, workspace: Workspace | None = None
) -> PageTables:
    """What the instrument ``page-tables`` saw in a trial.

    Raises :class:`UserError` if it did not watch the run. A trial without a row has no mapping.
    """
    directory = run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace)
    found = [read_table(directory, name) for name in (TABLES, AUDIT)]
    tables, audit = (table[table["trial"] == trial].reset_index(drop=True) for table in found)
    return PageTables(trial, tables, audit)


def inspect_dump(
    run: AnyRun, trial: str, *, attempt: int | None = None, workspace: Workspace | None = None
) -> PageTables:
    """The same of the guest of an attempt that was dumped, at the moment it was.

    Raises as :func:`~driver.api.find_dump`, and :class:`UserError` if drgn is not installed.
    """
    from driver.memory.inspection import inspect  # noqa: PLC0415  (drgn is optional)
    from driver.memory.kernel import KernelImage, open_dump  # noqa: PLC0415
    from driver.memory.physical import segments  # noqa: PLC0415

    dump = find_dump(run, trial, attempt=attempt, workspace=workspace)
    program = open_dump(dump.path, KernelImage(dump.vmlinux, dump.release))
    seen = inspect(program, segments(dump.memory_mib))
    columns = {table.name: list(table.columns) for table in INSTRUMENT.tables}
    rows = {
        name: pd.DataFrame([{"phase": "dump", **row} for row in seen[part]], columns=columns[name])
        for name, part in ((TABLES, "tables"), (AUDIT, "audit"))
    }
    return PageTables(trial, rows[TABLES], rows[AUDIT])
