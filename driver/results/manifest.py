# SPDX-License-Identifier: Apache-2.0
"""Everything needed to repeat a run, written before the work and again after it."""

from __future__ import annotations

import json
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.guest_record import GuestRecord, Record
from driver.results.migration import UnknownSchema, migrate
from driver.results.schema import SCHEMA_VERSION
from driver.schema_errors import problems
from driver.validity import Accelerator, Validity

Level = bool | int | float | str


class PlannedTrial(Record):
    """One trial of the plan: its identity, its place, its factor levels."""

    id: str
    sequence: int
    repeat: int
    factors: dict[str, Level]


class ExperimentText(Record):
    """The experiment as it was when the run began: the text itself and its SHA-256."""

    name: str
    digest: str
    text: str


class Options(Record):
    """What the command line asked for on top of the experiment.

    ``source`` is for arms that have a series, ``unpatched_source`` for those that have none;
    ``bases`` are the versions of Linux, empty in runs made before they could be chosen.

    ``digest_nvdimm`` takes the digest of each trial's NVDIMM, under icount. ``kernel_args`` are
    words added to the kernel command line of every guest, ``qemu_args`` words added to QEMU's.
    ``instruments`` watch every trial, beyond those that the experiment names.

    ``allow_splat`` are kinds of faults (:mod:`driver.results.faults`) that do not decide the exit
    status; complaints of the kernel of these kinds end no trial. Deadlines are multiplied by
    ``timeout_factor``.

    ``keep_guest`` is more than a convenience: so that a panic stands still, a guest that may be
    kept writes 0 to ``kernel.panic`` before each workload. So does one that may be dumped
    (``dump``), and its kernel is built with debug information.
    """

    quick: bool = False
    only: dict[str, list[str]] = Field(default_factory=dict)
    repeat: int | None = None
    source: str | None = None
    unpatched_source: str | None = None
    bases: list[str] = Field(default_factory=list)
    jobs: int = 1
    force: bool = False
    keep_guest: bool = False
    dump: bool = False
    digest_nvdimm: bool = False
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()
    allow_splat: tuple[str, ...] = ()
    timeout_factor: float = 1.0
    instruments: tuple[str, ...] = ()

    @property
    def base(self) -> str | None:
        """The version of Linux of all kernels, if there is one."""
        return self.bases[0] if len(self.bases) == 1 else None


class Host(Record):
    """The machine that ran QEMU."""

    system: str
    kernel: str
    cpu: str
    cpus: int
    memory_mib: int
    python: str


class ProjectState(Record):
    """The software that made the run: its version, and the commit of the project's checkout.

    ``commit`` is None outside a git checkout; ``modified`` says whether tracked files differed.
    """

    driver: str
    commit: str | None
    modified: bool


class Manifest(Record):
    """Everything needed to repeat a run, and what its numbers are worth.

    ``valid`` says of each kind of number whether it means anything under ``accelerator``; ``keep``
    which metrics of each source entered ``samples.csv``. Times are in UTC, as ISO 8601.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    run: str
    status: Literal["running", "interrupted", "complete"]
    started: str
    finished: str | None = None
    experiment: ExperimentText
    options: Options
    accelerator: Accelerator
    accelerator_reason: str = ""
    icount_shift: int | None = None
    valid: dict[str, str]
    factors: list[str]
    keep: dict[str, list[str]]
    guests: list[GuestRecord]
    host: Host
    project: ProjectState
    plan: list[PlannedTrial]

    @model_validator(mode="after")
    def _every_trial_has_the_factors(self) -> Self:
        for trial in self.plan:
            if trial.factors.keys() != set(self.factors):
                raise ValueError(
                    f"the planned trial {trial.id} has the factors "
                    f"{', '.join(trial.factors) or 'none'}; "
                    f"the run has {', '.join(self.factors) or 'none'}"
                )
        return self

    @property
    def validity(self) -> Validity:
        return Validity(self.accelerator, self.icount_shift)


def write_manifest(run: RunDirectory, manifest: Manifest) -> None:
    write_atomically(run.manifest, manifest.model_dump_json(indent=2) + "\n")


def read_manifest(run: RunDirectory) -> Manifest:
    """The manifest of a run; a killed driver's is interrupted, though it could not write so.

    One of an earlier schema version is read as if it were of the present one. Raises
    :class:`UserError` when the file is damaged or of a version that this driver does not know.
    """
    try:
        manifest = Manifest.model_validate(migrate(_content(run)))
    # Errors of pydantic and JSON are ValueErrors; the decoder recurses into what is nested.
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, json.JSONDecodeError):
            raise UserError(
                f"{run.manifest} is not a manifest: it is cut off or damaged ({error})",
                hint="Restore it from a copy. The records of the trials are files of their own.",
            ) from error
        raise UserError(
            f"{run.manifest} is not a manifest that this driver can read: {_reason(error)}",
            hint="Read it with the driver that wrote it; `project.commit` in it says which.",
        ) from error
    if manifest.status == "running" and not run.in_use:
        return manifest.model_copy(update={"status": "interrupted"})
    return manifest


def _content(run: RunDirectory) -> dict[str, Any]:
    content = json.loads(run.manifest.read_bytes())
    if not isinstance(content, dict):
        raise UnknownSchema("it is not a JSON object")
    return content


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return problems(error, most=3)
