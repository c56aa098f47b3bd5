# SPDX-License-Identifier: Apache-2.0
"""What was wrong in any attempt of a run: faults of its kernels and workloads, and of the host.

A trial that succeeds when it is tried again has not taken back what its kernel complained of
before. So the faults of all attempts count; only those of the host (QEMU killed, host overloaded)
are forgiven, and counted.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from driver.errors import UserError
from driver.guest.splat_patterns import KIND_NAMES
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest
from driver.results.record import TrialRecord, read_record
from driver.results.schema import PENDING
from driver.suggestion import did_you_mean
from driver.text import counted

# What may be allowed: kinds of complaints of the kernel, and verdicts of attempts that ended
# without one.
ALLOWABLE = (*sorted(KIND_NAMES), "lost", "timeout", "workload", "unreadable")


class TrialRow(NamedTuple):
    """What became of a trial, as ``trials.csv`` has it: ``faults`` are kinds, one word each."""

    trial: str
    verdict: str
    faults: str
    host_faults: int


@dataclass(frozen=True)
class TrialFault:
    """One fault in one attempt (from 1) at a trial; its attempt is 0 where only tables are left."""

    trial: str
    attempt: int
    kind: str
    message: str = ""

    @property
    def is_complaint(self) -> bool:
        """Whether the kernel complained; else an attempt failed without a word from it."""
        return self.kind in KIND_NAMES or self.kind == "splat"


@dataclass(frozen=True)
class Faults:
    """The faults of a run's kernels and workloads, in plan order, and how many the host had."""

    found: tuple[TrialFault, ...] = ()
    host: int = 0

    def __bool__(self) -> bool:
        return bool(self.found)

    @property
    def trials(self) -> list[str]:
        """The trials with a fault, each once."""
        return list(dict.fromkeys(fault.trial for fault in self.found))

    def without(self, allowed: Collection[str]) -> Faults:
        """Those whose kind is not allowed."""
        return Faults(tuple(one for one in self.found if one.kind not in allowed), self.host)

    def kinds(self) -> str:
        """``oops (2), warn (1)``: how often each kind, in order of first appearance."""
        return ", ".join(
            f"{kind} ({number})" for kind, number in Counter(one.kind for one in self.found).items()
        )

    def sentences(self) -> list[str]:
        """A clause for each thing to know: the faults, and how often the host was to blame."""
        said = []
        if self.found:
            where = counted(len(self.trials), "trial")
            said.append(f"kernel or workload at fault in {where}: {self.kinds()}")
        if self.host:
            said.append(f"{counted(self.host, 'attempt')} failed because of the host or QEMU")
        return said


def of_records(records: Iterable[TrialRecord]) -> Faults:
    """The faults of all attempts at some trials."""
    records = list(records)
    found = (
        TrialFault(record.id, number, fault.kind, fault.message)
        for record in records
        for number, attempt in enumerate(record.attempts, start=1)
        for fault in attempt.faults
    )
    return Faults(tuple(found), sum(record.host_faults for record in records))


def of_rows(rows: Iterable[TrialRow]) -> Faults:
    """The same of a run of which only the tables are left.

    Those of earlier versions have only the verdict of the last attempt.
    """
    rows = list(rows)
    found = []
    for row in rows:
        words = row.faults.split() or [row.verdict] * (row.verdict in ("splat", "workload"))
        found += [TrialFault(row.trial, 0, word) for word in words]
    return Faults(tuple(found), sum(row.host_faults for row in rows))


def rows_of(run: RunDirectory, manifest: Manifest) -> list[TrialRow]:
    """What became of each trial that was tried, from the records or, without any, from the table.

    Without reading the numbers: for lists of many runs.
    """
    found = [read_record(run, planned.id) for planned in manifest.plan]
    records = [record for record in found if record is not None]
    if records or not run.trials_csv.exists():
        return [
            TrialRow(
                record.id,
                record.last.verdict,
                " ".join(fault.kind for fault in record.faults),
                record.host_faults,
            )
            for record in records
        ]
    with run.trials_csv.open(encoding="utf-8", newline="") as file:
        return [
            TrialRow(
                row["trial"],
                row["verdict"],
                row.get("faults", ""),
                int(row.get("host_faults") or 0),
            )
            for row in csv.DictReader(file)
            if row["verdict"] != PENDING
        ]


def check_kinds(kinds: Iterable[str]) -> None:
    """Raise :class:`UserError` for a kind of fault that does not exist."""
    for kind in kinds:
        if kind not in ALLOWABLE:
            raise UserError(
                f"--allow-splat: there is no kind of fault called {kind!r}",
                hint=did_you_mean(kind, ALLOWABLE, "Kinds"),
            )
