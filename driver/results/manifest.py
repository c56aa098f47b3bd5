# SPDX-License-Identifier: Apache-2.0
"""Everything needed to repeat a run, written before the work and again after it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from driver.errors import UserError
from driver.results.directory import RunDirectory, publish
from driver.results.schema import SCHEMA_VERSION
from driver.validity import Accelerator, Validity

Level = bool | int | float | str


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PlannedTrial(_Record):
    """One trial of the plan: its identity, its place, its factor levels."""

    id: str
    sequence: int
    repeat: int
    factors: dict[str, Level]


class ExperimentText(_Record):
    """The experiment as it was when the run began: the text itself and its SHA-256."""

    name: str
    digest: str
    text: str


class Options(_Record):
    """What the command line asked for on top of the experiment.

    ``kernel_args`` are words added to the kernel command line of every guest, ``qemu_args`` words
    added to QEMU's.
    ``keep_guest`` is more than a convenience: so that a panic stands still, a guest that may be
    kept writes 0 to ``kernel.panic`` before each workload.
    """

    quick: bool = False
    only: dict[str, list[str]] = {}
    repeat: int | None = None
    source: str | None = None
    jobs: int = 1
    force: bool = False
    keep_guest: bool = False
    kernel_args: tuple[str, ...] = ()
    qemu_args: tuple[str, ...] = ()


class Host(_Record):
    """The machine that ran QEMU."""

    system: str
    kernel: str
    cpu: str
    cpus: int
    memory_mib: int
    python: str


class ProjectState(_Record):
    """The software that made the run: its version, and the commit of the project's checkout.

    ``commit`` is None outside a git checkout; ``modified`` says whether tracked files differed.
    """

    driver: str
    commit: str | None
    modified: bool


class GuestRecord(_Record):
    """One kind of guest the plan used: which kernel, which machine, how it was prepared.

    ``kernel`` and ``image`` carry at least a ``digest`` of everything that went into them, and
    their provenance; ``qemu`` carries its version and argument list.
    """

    kernel: dict[str, Any]
    image: dict[str, Any]
    machine: dict[str, Any]
    provision: list[str] | None
    qemu: dict[str, Any]


class ManifestV1(_Record):
    """``manifest.json``."""

    schema_version: Literal[1] = SCHEMA_VERSION
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

    @property
    def validity(self) -> Validity:
        return Validity(self.accelerator, self.icount_shift)


def write_manifest(run: RunDirectory, manifest: ManifestV1) -> None:
    publish(run.manifest, (manifest.model_dump_json(indent=2) + "\n").encode())


def read_manifest(run: RunDirectory) -> ManifestV1:
    """The manifest of a run; a killed driver's is interrupted, though it could not write so.

    Raises :class:`UserError` when the file is damaged or of another schema version.
    """
    try:
        manifest = ManifestV1.model_validate_json(run.manifest.read_bytes())
    except (OSError, ValidationError) as error:
        reason = (
            "; ".join(
                f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:3]
            )
            if isinstance(error, ValidationError)
            else str(error)
        )
        raise UserError(
            f"{run.manifest} is not a manifest of schema version {SCHEMA_VERSION}: {reason}",
            hint="Read it with the driver that wrote it; `project.commit` in it says which.",
        ) from error
    if manifest.status == "running" and not run.in_use:
        return manifest.model_copy(update={"status": "interrupted"})
    return manifest
