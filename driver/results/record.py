# SPDX-License-Identifier: Apache-2.0
"""What is kept of one trial: a small record, and its raw samples."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.guest.job import JobResult, Sample, Value
from driver.results.directory import RunDirectory
from driver.results.manifest import Level
from driver.results.schema import OK


class Attempt(BaseModel):
    """One try at a trial.

    ``verdict`` is ``ok`` or the verdict of the error that ended it; ``exit_status`` is what the
    ``driver`` command would exit with on account of it. ``host_seconds`` is how long the host
    was busy with it: of use for planning, and no measurement.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    verdict: str
    exit_status: int = 0
    message: str = ""
    excerpt: str = ""
    host_seconds: float


class TrialRecord(BaseModel):
    """``trials/<trial>.json``: that it exists means that the trial is over.

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


def write_record(
    run: RunDirectory, record: TrialRecord, result: JobResult | None, console: str
) -> None:
    """Put a finished trial on disk; it counts as finished once the last file is renamed."""
    write_atomically(run.consoles / f"{record.id}.log", console.encode("utf-8", "surrogateescape"))
    if result is not None:
        write_atomically(run.raw / f"{record.id}.jsonl.gz", _pack(result))
    write_atomically(run.trials / f"{record.id}.json", record.model_dump_json(indent=1) + "\n")


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
        raise UserError(
            f"{path} is damaged: {error.errors()[0]['msg']}",
            hint=f"Remove it, and `driver run --resume {run.name}` runs that trial again.",
        ) from error


def read_raw(run: RunDirectory, trial: str) -> JobResult:
    """The raw samples and values of a finished trial.

    Raises :class:`UserError` for a file that the driver has not left like that.
    """
    path = run.raw / f"{trial}.jsonl.gz"
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            return _unpack([json.loads(line) for line in file])
    # A cut or altered file may be: too short, no gzip, no text, no JSON, other keys.
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError) as error:
        record = run.trials / f"{trial}.json"
        raise UserError(
            f"{path} is damaged: {error}",
            hint=f"Remove {record}, and `driver run --resume {run.name}` runs that trial again.",
        ) from error


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


def _unpack(lines: Sequence[dict[str, Any]]) -> JobResult:
    """The result that :func:`canonical` made these lines of."""
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
