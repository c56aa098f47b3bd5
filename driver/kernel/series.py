# SPDX-License-Identifier: Apache-2.0
"""A patch series as a person keeps it: ``kernel-patches/NAME/BASE/series.toml`` and the patches.

BASE is the version of Linux ("6.12") that these patches apply to; a series that exists for several
has a folder for each. Which one is used is chosen, by ``--base`` or by the source, and not written
where the series is named. The link ``kernel-patches/default`` is the series when none is named. ::

    name = "dax-share"                 # becomes part of `uname -r`
    base = "6.12.117"                  # only to insist on one point release
    description = "one line"
    patches = ["0001-....patch", ...]  # in the order `git am` takes them
    kconfig = ["dax-share.config"]     # fragments the series needs, relative to the folder
    experimental = true                # not chosen unless its base is asked for
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from driver import tomlfile
from driver.errors import UserError
from driver.kernel import checkout
from driver.kernel.kconfig_fragment import Fragment
from driver.kernel.sources.source import (
    DEFAULT_BASE,
    KernelSource,
    base_of,
    is_directory_spec,
    numeric,
)
from driver.paths import expanded
from driver.project import Project
from driver.suggestion import did_you_mean

# The series name that means no series, and the link to the series that is meant if none is named.
NONE = "none"
DEFAULT = "default"
SERIES_FILE = "series.toml"
# Goes into the kernel release, where kbuild allows 64 characters in all.
SERIES_NAME = r"^[a-z0-9][a-z0-9.-]{0,31}$"

_NAME_IS = "at most 32 lower-case letters, digits, dots and hyphens, the first no dot or hyphen"
NAME_HINT = f"Use {_NAME_IS}."


def _matching(pattern: str, words: str) -> AfterValidator:
    """A check of a text; ``words`` say what it should be, which the pattern would not."""

    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(f"{value!r} is not {words}")
        return value

    return AfterValidator(check)


SeriesName = Annotated[str, _matching(SERIES_NAME, f"a name: {_NAME_IS}")]
Release = Annotated[
    str, _matching(r"\d+\.\d+(\.\d+)?", "a version of Linux such as 6.12 or 6.12.117")
]
# No component begins with a dot or a slash: a series stays inside its folder.
FileName = Annotated[str, _matching(r"\w[\w.+-]*(/\w[\w.+-]*)*", "a file below this folder")]


class SeriesFile(BaseModel):
    """The schema of series.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: SeriesName
    base: Release | None = None
    description: str = ""
    patches: list[FileName] = Field(min_length=1)
    kconfig: list[FileName] = []
    experimental: bool = False


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
    """A series ready to apply; ``patches`` is empty for the unpatched kernel.

    ``base`` is the version of Linux it is for: "6.12", or "6.12.117" for that release only.
    """

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
                hint=f"Use a source of Linux {self.base}, or build it unpatched: --series none",
            )


def default_series(source: str | None) -> str:
    """The series when none is named: that of a checkout, none on another tree of the user's, and
    the project's default otherwise.
    """
    if source is None or not is_directory_spec(source):
        return DEFAULT
    found = checkout.find(expanded(source).resolve())
    return found.series if found else NONE


def names(project: Project) -> list[str]:
    """Every series of the project, each by its own name."""
    folders = {path.parents[1] for path in project.patches.glob(f"*/*/{SERIES_FILE}")}
    return sorted(folder.name for folder in folders if not folder.is_symlink())


def bases(project: Project, name: str | None = None) -> list[str]:
    """The versions of Linux that a series (all of them) exists for, the oldest first."""
    found = {path.parent.name for path in project.patches.glob(f"{name or '*'}/*/{SERIES_FILE}")}
    return sorted(found, key=numeric)


def usual_bases(project: Project, name: str | None = None) -> list[str]:
    """The bases to choose from when none is named: those of a series (all of them) that is not
    experimental there, or all if it is so everywhere.
    """
    chosen = [name] if name else names(project)
    settled = {
        base
        for each in chosen
        for base in bases(project, each)
        if not _experimental(project, each, base)
    }
    return sorted(settled, key=numeric) or bases(project, name)


def _experimental(project: Project, name: str, base: str) -> bool:
    return tomlfile.read(project.patches / name / base / SERIES_FILE, SeriesFile).experimental


def default_base(project: Project) -> str:
    """The base of the unpatched kernel when none is named: that of the default series, so that
    the two can be compared; in a project without one the newest that any series is for.
    """
    if bases(project, DEFAULT):
        return usual_bases(project, DEFAULT)[-1]
    return usual_bases(project)[-1] if bases(project) else DEFAULT_BASE


def load(project: Project, name: str, base: str | None = None) -> PatchSeries:
    """Read the series ``name`` for a base ("6.12"), the newest of its usual ones if None.

    Raises :class:`UserError` for anything wrong with it.
    """
    if name == NONE:
        return PatchSeries(name=NONE, title="", base=base or default_base(project))
    name = _own_name(project, name)
    known = bases(project, name)
    if base is not None and base not in known:
        raise UserError(
            f"the series {name} does not exist for Linux {base}",
            hint=f"It exists for {', '.join(known)}. The unpatched kernel, series none, "
            "can be built for any base.",
        )
    folder = project.patches / name / (base or usual_bases(project, name)[-1])
    path = folder / SERIES_FILE
    listed = tomlfile.read(path, SeriesFile)
    _check_files(path, listed)
    if listed.base is not None and base_of(listed.base) != folder.name:
        raise UserError(
            f"{path} says base {listed.base}, but is in a folder for {folder.name}",
            hint="Remove the line: the folder says which base it is.",
        )
    return PatchSeries(
        name=name,
        title=listed.name,
        base=listed.base or folder.name,
        patches=tuple(Patch(patch, (folder / patch).read_bytes()) for patch in listed.patches),
        fragments=tuple(Fragment.read(folder / fragment) for fragment in listed.kconfig),
        folder=folder,
    )


def check_new_name(project: Project, name: str, base: str) -> None:
    """Raise :class:`UserError` unless a series of that name can be made for a base."""
    if not re.fullmatch(SERIES_NAME, name) or name in (DEFAULT, NONE):
        raise UserError(
            f"`{name}` cannot be the name of a series",
            hint=NAME_HINT,
        )
    if base in bases(project, name):
        raise UserError(
            f"there is a series {name} for Linux {base} already",
            hint="Choose another name with --series, or remove the one there is: "
            f"rm -r {shlex.quote(str(project.patches / name / base))}",
        )


def fitting(project: Project, named: PatchSeries, source: KernelSource) -> PatchSeries:
    """The same series for the base that a source turned out to be.

    A tree of the user's is built as is, so a series that does not exist for its base has
    at least a configuration for it. Raises :class:`UserError` where patches would be needed.
    """
    actual = base_of(source.version)
    if named.name == NONE or source.pristine or actual in bases(project, named.name):
        return load(project, named.name, actual)
    return named


def _own_name(project: Project, name: str) -> str:
    """The name of a series that exists; ``default`` is a link to one."""
    known = names(project)
    folder = project.patches / name
    if name == DEFAULT and folder.is_symlink():
        return _own_name(project, folder.readlink().name)
    if name == DEFAULT and name not in known:
        raise UserError(
            f"no series was named, and the project has no default one: there is no {folder}",
            hint=f"Name one with --series: {', '.join([*known, NONE])}. "
            f"Or choose a default: ln -s SERIES {shlex.quote(str(folder))}",
        )
    if name in known:
        return name
    if name in bases(project):
        raise UserError(
            f"{name} is a base, not a series",
            hint=f"Write --base {name}, and with --series one of: {', '.join([*known, NONE])}.",
        )
    raise UserError(
        f"there is no series `{name}` in {project.patches}",
        hint=did_you_mean(name, [*known, NONE], "Known"),
    )


def _check_files(path: Path, listed: SeriesFile) -> None:
    """Every file listed exists and every patch that exists is listed, once."""
    folder = path.parent
    for name in (*listed.patches, *listed.kconfig):
        if not (folder / name).is_file():
            present = [file.name for file in folder.iterdir()]
            raise UserError(
                f"{path} lists {name}, which is not in {folder}",
                hint=did_you_mean(name, present, None) or "Add the file or remove the line.",
            )
    if len(set(listed.patches)) != len(listed.patches):
        twice = next(name for name in listed.patches if listed.patches.count(name) > 1)
        raise UserError(f"{path} lists {twice} twice", hint="Remove one of the two.")
    # `git format-patch` numbers the cover letter 0000: it is prose, not a patch.
    forgotten = [
        file.name
        for file in sorted(folder.glob("*.patch"))
        if file.name not in listed.patches and not file.name.startswith("0000-")
    ]
    if forgotten:
        raise UserError(
            f"{path} does not list {', '.join(forgotten)}",
            hint="List every patch of the folder under `patches`, or move it out of the folder.",
        )
