# SPDX-License-Identifier: Apache-2.0
"""A patch series as a person keeps it: ``kernel-patches/<name>/series.toml`` and the patches.

::

    name = "dax-share"                 # becomes part of `uname -r`
    base = "6.12"                      # or "6.12.117" to insist on one point release
    description = "one line"
    patches = ["0001-....patch", ...]  # in the order `git am` takes them
    kconfig = ["dax-share.config"]     # fragments the series needs, relative to the folder
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from driver import tomlfile
from driver.errors import UserError
from driver.kernel import checkout
from driver.kernel.kconfig_fragment import Fragment
from driver.kernel.sources.source import DEFAULT_BASE, KernelSource, is_directory_spec
from driver.project import Project
from driver.suggestion import did_you_mean

# The series name that means no series.
NONE = "none"
SERIES_FILE = "series.toml"
# Goes into the kernel release, where kbuild allows 64 characters in all.
SERIES_NAME = r"^[a-z0-9][a-z0-9.-]{0,31}$"

# No component begins with a dot or a slash: a series stays inside its folder.
FileName = Annotated[str, StringConstraints(pattern=r"^\w[\w.+-]*(/\w[\w.+-]*)*$")]


class SeriesFile(BaseModel):
    """The schema of series.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=SERIES_NAME)]
    base: Annotated[str, StringConstraints(pattern=r"^\d+\.\d+(\.\d+)?$")]
    description: str = ""
    patches: list[FileName] = Field(min_length=1)
    kconfig: list[FileName] = []


@dataclass(frozen=True)
class Patch:
    """One mail of the series, as read at start: a later edit does not change a build under way."""

    name: str
    content: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class PatchSeries:
    """A series ready to apply; ``patches`` is empty for the unpatched kernel."""

    name: str
    title: str
    base: str
    patches: tuple[Patch, ...] = ()
    fragments: tuple[Fragment, ...] = ()
    folder: Path | None = None

    def check_base(self, source: KernelSource) -> None:
        """Raise :class:`UserError` unless the series was made for this version of Linux."""
        if self.patches and not f"{source.version}.".startswith(f"{self.base}."):
            raise UserError(
                f"series {self.name} is for Linux {self.base}; {source.label} is {source.version}",
                hint=f"Use a {self.base} source, or --series none for the kernel as it is.",
            )


UNPATCHED = PatchSeries(name=NONE, title="", base=DEFAULT_BASE)


def default_series(source: str | None) -> str:
    """The series when none is named: that of a checkout, none on another tree of the user's, and
    the default base otherwise.
    """
    if source is None or not is_directory_spec(source):
        return DEFAULT_BASE
    found = checkout.find(Path(source).expanduser().resolve())
    return found.series if found else NONE


def load(project: Project, name: str) -> PatchSeries:
    """Read ``kernel-patches/<name>``. Raises :class:`UserError` for anything wrong with it."""
    if name == NONE:
        return UNPATCHED
    folder = project.patches / name
    path = folder / SERIES_FILE
    if not path.is_file():
        known = sorted(found.parent.name for found in project.patches.glob(f"*/{SERIES_FILE}"))
        raise UserError(
            f"there is no series `{name}` (no {path})",
            hint=did_you_mean(name, [*known, NONE], "Known"),
        )
    listed = tomlfile.read(path, SeriesFile)
    _check_files(path, listed)
    return PatchSeries(
        name=name,
        title=listed.name,
        base=listed.base,
        patches=tuple(Patch(patch, (folder / patch).read_bytes()) for patch in listed.patches),
        fragments=tuple(Fragment.read(folder / fragment) for fragment in listed.kconfig),
        folder=folder,
    )


def _check_files(path: Path, listed: SeriesFile) -> None:
    """Every file listed exists and every patch that exists is listed, once."""
    folder = path.parent
    for name in (*listed.patches, *listed.kconfig):
        if not (folder / name).is_file():
            present = [file.name for file in folder.iterdir()]
            raise UserError(
                f"{path} lists {name}, which is not in {folder}",
                hint=did_you_mean(name, present, None) or "Add the file or take the line away.",
            )
    if len(set(listed.patches)) != len(listed.patches):
        twice = next(name for name in listed.patches if listed.patches.count(name) > 1)
        raise UserError(f"{path} lists {twice} twice", hint="Take one of the lines away.")
    # `git format-patch` numbers the cover letter 0000: it is prose, not a patch.
    forgotten = [
        file.name
        for file in sorted(folder.glob("*.patch"))
        if file.name not in listed.patches and not file.name.startswith("0000-")
    ]
    if forgotten:
        raise UserError(
            f"{path} does not list {', '.join(forgotten)}",
            hint="List every patch of the folder under `patches`, or move it away.",
        )
