# SPDX-License-Identifier: Apache-2.0
"""What is kept of one trial: a small record, and its raw samples."""

from __future__ import annotations

import glob
import gzip
import hashlib
import io
import json
import re
import zlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.guest.job import JobResult, Sample, Value
from driver.results.directory import RunDirectory
from driver.results.manifest import Level
from driver.results.schema import DISTURBED, OK
from driver.schema_errors import problems
from driver.text import reason

# Verdicts of a fault of the guest or of the host.
_EITHER = frozenset({"lost", "timeout"})
# How the message of an attempt without `complaints` names the kind of the first.
_REPORTED = re.compile(r"kernel reported ([\w-]+): ")
# Digits of the digest in the name of a boot's console log.
_BOOT_DIGITS = 16


class Fault(BaseModel):
    """A fault of a guest's kernel or workload, in one sentence.

    ``kind`` is that of a complaint of the kernel (:mod:`driver.guest.splat_patterns`), else the
    verdict of the attempt that it ended.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    message: str


class Attempt(BaseModel):
    """One try at a trial.

    ``verdict`` is ``ok`` or the verdict of the error that ended it; ``exit_status`` is what the
    ``driver`` command would exit with on account of it. ``host_seconds`` is how long the host
    was busy with it: of use for planning, and no measurement. ``complaints`` are all of the kernel,
    in order, those that were allowed among them; ``excerpt`` is the evidence of the first.
    ``host_fault`` says whether the host or QEMU made it fail; None in runs made before the two were
    distinguished. ``boot`` is the file in ``console/`` with what the guest had said before
    it was forked; empty if the console of the attempt begins with its boot.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: str
    exit_status: int = 0
    message: str = ""
    excerpt: str = ""
    host_seconds: float
    complaints: list[Fault] = []
    host_fault: bool | None = None
    boot: str = ""

    @property
    def faults(self) -> list[Fault]:
        """What was wrong with the kernel or the workload; nothing if the host is to blame."""
        if self.complaints or self.verdict in (OK, DISTURBED):
            return self.complaints
        unknown = self.host_fault is None and self.verdict in _EITHER
        if self.host_fault or unknown:
            return []
        reported = _REPORTED.search(self.message)
        return [Fault(kind=reported[1] if reported else self.verdict, message=self.message)]


class TrialRecord(BaseModel):
    """``trials/<trial>.json``: the trial was tried, and how that ended each time.

    It is written after each attempt, so that none is lost when the driver is killed in the next.
    ``digests``, of a successful trial of an exact run, are SHA-256 (hex) of what it left, by what
    they are of: the console log, the result and, if it was asked for, the NVDIMM. Trials that
    repeat agree in all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    sequence: int
    repeat: int
    factors: dict[str, Level]
    argv: list[str]
    attempts: list[Attempt]
    refused: list[str] = []
    digests: dict[str, str] = {}

    @property
    def last(self) -> Attempt:
        return self.attempts[-1]

    @property
    def ok(self) -> bool:
        return self.last.verdict == OK

    @property
    def faults(self) -> list[Fault]:
        """The faults of the kernel and the workload in all attempts, in order."""
        return [fault for attempt in self.attempts for fault in attempt.faults]

    @property
    def host_faults(self) -> int:
        """How many attempts the host or QEMU made fail."""
        return sum(
            attempt.verdict == DISTURBED or bool(attempt.host_fault) for attempt in self.attempts
        )


def write_record(
    run: RunDirectory, record: TrialRecord, result: JobResult | None, console: str
) -> None:
    """Put the last attempt at a trial on disk; it counts once the last file is renamed.

    The consoles of earlier attempts are kept under names of their own.
    """
    _keep_console(run, record)
    write_atomically(run.console(record.id), console.encode("utf-8", "surrogateescape"))
    if result is not None:
        write_atomically(run.raw / f"{record.id}.jsonl.gz", _pack(result))
    write_atomically(run.trials / f"{record.id}.json", record.model_dump_json(indent=1) + "\n")


def insert_attempt(
    run: RunDirectory, record: TrialRecord, attempt: Attempt, console: str
) -> TrialRecord:
    """Put an attempt that became known too late before the last one of a trial, which counts."""
    *earlier, last = record.attempts
    place = len(earlier) + 1
    write_atomically(run.console(record.id, place), console.encode("utf-8", "surrogateescape"))
    longer = record.model_copy(update={"attempts": [*earlier, attempt, last]})
    write_atomically(run.trials / f"{record.id}.json", longer.model_dump_json(indent=1) + "\n")
    return longer


def _keep_console(run: RunDirectory, record: TrialRecord) -> None:
    """Give the console of the attempt before the last one its final name.

    If it has that already, a driver was killed right after it renamed the file: what has the name
    of the last console now is of an attempt that does not count.
    """
    earlier = len(record.attempts) - 1
    if not earlier:  # whatever there is belongs to a record that a person has removed
        for stale in run.consoles.glob(f"{glob.escape(record.id)}.attempt-*.log"):
            stale.unlink()
        return
    last, kept = run.console(record.id), run.console(record.id, earlier)
    if last.exists() and not kept.exists():
        last.rename(kept)


def write_boot_console(run: RunDirectory, text: str) -> str:
    """Keep what guests said before they were forked, once; returns the name of its file."""
    data = text.encode("utf-8", "surrogateescape")
    name = f"boot-{hashlib.sha256(data).hexdigest()[:_BOOT_DIGITS]}.log"
    if not (run.consoles / name).exists():
        write_atomically(run.consoles / name, data)
    return name


def read_record(run: RunDirectory, trial: str) -> TrialRecord | None:
    """The record of a trial, or None if the trial has not been finished.

    Raises :class:`UserError` for a damaged file: the driver writes none in part, and does not
    guess whether the numbers of that trial are whole.
    """
    path = run.trials / f"{trial}.json"
    try:
        return TrialRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise UserError(f"{path} is damaged: {problems(error)}", hint=run.again(trial)) from error


def read_raw(run: RunDirectory, trial: str) -> JobResult:
    """The raw samples and values of a finished trial.

    Raises :class:`UserError` for a file that the driver has not left like that.
    """
    path = run.raw / f"{trial}.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return _result([json.loads(line) for line in file])
    # A cut or altered file may be: too short, no gzip, no text, no JSON, other keys.
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged: {reason(error)}", hint=run.again(trial)) from error


def canonical(result: JobResult) -> bytes:
    """A result as JSON lines: the same result always gives the same bytes."""
    lines: Sequence[dict[str, Any]] = [
        {"kind": "job", "status": result.status, "output": result.output},
        *({"kind": "sample", **vars(sample)} for sample in result.samples),
        *({"kind": "value", **vars(value)} for value in result.values),
    ]
    return b"".join(
        json.dumps(line, sort_keys=True, ensure_ascii=True).encode() + b"\n" for line in lines
    )


def unpack(content: bytes) -> JobResult:
    """The result that :func:`canonical` made these bytes of.

    Raises ValueError, KeyError or TypeError for others.
    """
    return _result([json.loads(line) for line in content.splitlines()])


def _result(lines: Sequence[dict[str, Any]]) -> JobResult:
    head, *rest = lines
    result = JobResult(status=head["status"], output=head["output"])
    for line in rest:
        kind = line.pop("kind")
        if kind == "sample":
            result.samples.append(Sample(**line))
        else:
            result.values.append(Value(**line))
    return result


def _pack(result: JobResult) -> bytes:
    """Gzipped, without a time or a name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", filename="", mtime=0) as file:
        file.write(canonical(result))
    return buffer.getvalue()
