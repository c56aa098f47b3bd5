# SPDX-License-Identifier: Apache-2.0
"""Which host tries which trial: the run's directory decides, not the cluster's scheduler.

An attempt at a trial is leased to a host under a token, a number that is never used twice in a run.
Only the newest lease of a trial may put an outcome into the run. A lease is revoked when its host
is lost or silent; what arrives under it later is superseded, and kept as that.

``cluster.jsonl`` in the run's directory is the journal. It is only added to, so that a driver that
resumes the run, from whichever machine, continues with tokens that are newer than all before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from driver.cluster.messages import Software
from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.provenance import now
from driver.schema_errors import problems

JOURNAL = "cluster.jsonl"


class Line(BaseModel):
    """A line of the journal; ``time`` is the driver's, in UTC."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time: str = Field(default_factory=now)


class HostAdmitted(Line):
    """A host may run trials, ``slots`` guests at a time."""

    event: Literal["admitted"] = "admitted"
    host: str
    slots: int
    accelerator: str
    software: Software


class HostRefused(Line):
    """A host may not run trials, or not any longer."""

    event: Literal["refused"] = "refused"
    host: str
    reason: str


class Leased(Line):
    """A host was given trials to try; ``tokens`` are those of the leases, by trial."""

    event: Literal["leased"] = "leased"
    host: str
    tokens: dict[str, int]


class Taken(Line):
    """An outcome was taken into the run; ``seconds`` is how long its host was busy."""

    event: Literal["taken"] = "taken"
    token: int
    host: str
    verdict: str
    seconds: float


class Failed(Line):
    """The infrastructure failed, not the trial: leases are void. ``tokens`` are theirs."""

    event: Literal["failed"] = "failed"
    host: str
    tokens: list[int]
    reason: str


class Superseded(Line):
    """An outcome came too late: another lease of the trial was newer."""

    event: Literal["superseded"] = "superseded"
    token: int
    host: str
    trial: str
    verdict: str


AnyLine = Annotated[
    HostAdmitted | HostRefused | Leased | Taken | Failed | Superseded, Field(discriminator="event")
]
_LINE: TypeAdapter[AnyLine] = TypeAdapter(AnyLine)


@dataclass(frozen=True)
class Lease:
    """A trial that a host may try, once."""

    token: int
    trial: str
    host: str


@dataclass
class Leases:
    """The leases of one run; not safe to use from several threads."""

    path: Path
    _next: int = 1
    _current: dict[str, Lease] = field(default_factory=dict)
    _known: dict[int, Lease] = field(default_factory=dict)

    @classmethod
    def of(cls, run: RunDirectory) -> Leases:
        """The leases of a run, with tokens newer than any in its journal."""
        path = run.path / JOURNAL
        _end_last_line(path)
        last = max((max(line.tokens.values()) for line in _leased(path)), default=0)
        return cls(path, last + 1)

    def grant(self, trials: list[str], host: str) -> list[Lease]:
        """Lease trials to a host: any earlier lease of theirs is void from now on."""
        granted = []
        for trial in trials:
            lease = Lease(self._next, trial, host)
            self._next += 1
            self._current[trial] = self._known[lease.token] = lease
            granted.append(lease)
        self.note(Leased(host=host, tokens={lease.trial: lease.token for lease in granted}))
        return granted

    def lease(self, token: int) -> Lease | None:
        """The lease of a token that has not been settled; None for one that nobody was given."""
        return self._known.get(token)

    def is_current(self, lease: Lease) -> bool:
        """Whether an outcome under this lease is the one that counts."""
        return self._current.get(lease.trial) == lease

    def settle(self, lease: Lease) -> None:
        """A lease is over: nothing more is expected under it."""
        self._known.pop(lease.token, None)
        if self.is_current(lease):
            del self._current[lease.trial]

    def revoke(self, lease: Lease) -> None:
        """A lease is void, though an outcome may still arrive under it."""
        if self.is_current(lease):
            del self._current[lease.trial]

    def note(self, line: Line) -> None:
        """Add a line to the journal."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line.model_dump_json() + "\n")


def read_journal(run: RunDirectory) -> list[AnyLine]:
    """What happened on the hosts of a run, in order; nothing for a run of one machine.

    Raises :class:`UserError` for a damaged journal; the last line of a driver that was killed may
    be half.
    """
    return list(_lines(run.path / JOURNAL))


def _end_last_line(path: Path) -> None:
    """Cut off what a driver that was killed wrote in part, so that lines can be added."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    os.truncate(path, content.rfind(b"\n") + 1)


def _leased(path: Path) -> Iterator[Leased]:
    for line in _lines(path):
        if isinstance(line, Leased) and line.tokens:
            yield line


def _lines(path: Path) -> Iterator[AnyLine]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    whole = text.split("\n")[:-1]  # a driver that was killed may have left half a line
    for number, line in enumerate(whole, start=1):
        try:
            yield _LINE.validate_json(line)
        except ValidationError as error:
            raise UserError(
                f"{path}:{number} is damaged: {problems(error)}",
                hint="Remove that line; the records of the trials do not depend on it.",
            ) from error
