# SPDX-License-Identifier: Apache-2.0
"""The schema of ``suite.toml``, and finding one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from driver.errors import UserError
from driver.experiment.definition import (
    Arm,
    CaseFormat,
    Cases,
    Command,
    MachineTable,
    Table,
    Text,
)
from driver.paths import expanded
from driver.suggestion import did_you_mean
from driver.tomlfile import read

FILE_NAME = "suite.toml"
# Programs are levels of a factor, and levels are parts of file names.
_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")


def _program_name(value: str) -> str:
    if not _PROGRAM.fullmatch(value):
        raise ValueError(f"{value!r} cannot be a name: letters, digits and . + - only")
    return value


class Program(Table):
    """A test program: a command, and what differs from the suite's defaults.

    ``timeout`` is in seconds.
    """

    argv: Annotated[tuple[Text, ...], Field(min_length=1)]
    timeout: Annotated[int, Field(ge=1)] | None = None
    format: CaseFormat | None = None


class Suite(Cases):
    """``suite.toml``: programs to run, and how their output is read (:class:`Cases`).

    ``timeout``, in seconds, is for each program. ``files`` are copied into the guest: path there =
    folder here, relative to the suite's. ``directory`` is where the programs start; ``before`` are
    lines of shell that run before each of them, and ``after`` such as run after it, where $status
    is its exit status and may be changed. ``counters`` of /proc/vmstat are shown by how much
    each program raised them: a program that raised none has not tested the series. ``tolerate`` are
    kinds of complaints of the kernel that the programs provoke, as ``--allow-splat`` takes them.

    ``image``, ``machine``, ``provision`` and ``arms`` are as in an experiment. Without ``arms`` the
    unpatched kernel is compared with the project's default series.
    """

    description: Text
    image: str = "dax"
    machine: MachineTable = MachineTable(memory_mib="1024", nvdimm_mib="2304", vcpus="2")
    provision: Command | None = Command(argv=("provision-dax",), timeout="180")
    files: Mapping[str, str] = {}
    directory: str = "/"
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    timeout: Annotated[int, Field(ge=1)] = 300
    counters: tuple[Text, ...] = ()
    tolerate: tuple[Text, ...] = ()
    arms: Mapping[str, Arm] = {}
    programs: Annotated[
        Mapping[Annotated[str, AfterValidator(_program_name)], Program], Field(min_length=1)
    ]

    @property
    def cases(self) -> Cases:
        """How the output of its programs is read."""
        formats = {
            name: program.format for name, program in self.programs.items() if program.format
        }
        return Cases(
            format=self.format,
            formats={**self.formats, **formats},
            skip_status=self.skip_status,
            volatile=self.volatile,
        )


@dataclass(frozen=True)
class SuiteFolder:
    """A suite, and the folder that its files lie in."""

    name: str
    folder: Path
    suite: Suite


def available(suites: Path) -> list[str]:
    """Names of the suites in a folder, sorted."""
    return sorted(path.parent.name for path in suites.glob(f"*/{FILE_NAME}"))


def load(suites: Path, name: str) -> SuiteFolder:
    """The suite called ``name`` in the folder ``suites``, or the one in the folder ``name``.

    Raises :class:`UserError` if there is neither, or for a mistake in its file.
    """
    folder = suites / name
    if not (folder / FILE_NAME).is_file():
        folder = expanded(name)
    path = folder / FILE_NAME
    if not path.is_file():
        if folder.is_dir():
            raise UserError(
                f"the folder {folder} has no {FILE_NAME}",
                hint="docs/how-to/run-a-suite.md shows what it looks like.",
            )
        raise UserError(
            f"there is no suite called {name!r}",
            hint=did_you_mean(name, available(suites), "Possible here"),
        )
    suite = read(path, Suite)
    for guest, host in suite.files.items():
        if not guest.startswith("/") or guest.strip("/") == "":
            raise UserError(
                f"{path}: files: {guest!r} is not a folder of the guest",
                hint="Begin it with a slash: /opt/NAME.",
            )
        if not (folder / host).is_dir():
            raise UserError(
                f"{path}: files: there is no folder {folder / host}",
                hint="Build the suite there first, or correct the path.",
            )
    return SuiteFolder(folder.resolve().name, folder.resolve(), suite)
