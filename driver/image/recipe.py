# SPDX-License-Identifier: Apache-2.0
"""``guest-images/NAME/recipe.toml``: what an image is made of, as a person writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from driver import tomlfile
from driver.errors import UserError
from driver.project import Project
from driver.suggestion import did_you_mean

RECIPE = "recipe.toml"


class Recipe(BaseModel):
    """A guest image.

    ``packages`` maps a Debian package of ``suite`` to what is kept of it: files, folders with all
    in them, or patterns with ``*`` and ``**``; shared libraries that kept programs need follow by
    themselves. ``programs`` are folders, relative to the project, of
    C sources that become static programs in ``/usr/bin`` (see :mod:`driver.image.programs`).
    ``links`` maps a program to further names for it, in the directory it lies in. The folder
    ``overlay/`` next to the recipe is copied over the result.

    ``extends`` names another image: what its recipe and overlay say holds here, too, and this
    recipe adds to it. Only the suite cannot differ.

    ``system`` are packages that are installed whole, with all they depend on and their scripts: a
    Debian system, which guests have on a device of its own (:mod:`driver.image.system`). The rest
    of the image boots it, and shows in it where the system has no file of that name. The overlay
    next to such a recipe is copied over the system.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(min_length=1)
    extends: str | None = None
    suite: str = Field(pattern=r"^[a-z][a-z0-9-]*$", default="")
    packages: dict[str, list[str]] = {}
    programs: list[str] = []
    system: list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]] = []
    links: dict[str, list[str]] = {}

    @field_validator("packages")
    @classmethod
    def _absolute_files(cls, packages: dict[str, list[str]]) -> dict[str, list[str]]:
        for package, files in packages.items():
            for file in files:
                if not file.startswith("/"):
                    raise ValueError(f"{package}: {file!r} is not an absolute path")
                if ".." in file.split("/") or not file.strip("/"):
                    raise ValueError(f"{package}: {file!r} is not a path inside the package")
        return packages

    @field_validator("links")
    @classmethod
    def _plain_names(cls, links: dict[str, list[str]]) -> dict[str, list[str]]:
        for target, names in links.items():
            for name in names:
                if "/" in name or not name:
                    raise ValueError(f"{target}: {name!r} is not a plain name")
        return links


def load(project: Project, name: str) -> Recipe:
    """The recipe of image ``name`` with all that it extends; it extends none itself.

    Raises :class:`UserError` when one of them is absent or malformed.
    """
    *others, made = _chain(project, name).values()
    for base in reversed(others):
        made = _extended(base, made)
    path = project.images / name / RECIPE
    if not made.suite or not made.packages:
        raise UserError(
            f"{path} names neither the suite and packages of its image nor an image to extend",
            hint='Add suite = "bookworm" and a table [packages], or extends = "dax".',
        )
    return made.model_copy(update={"extends": None})


def _chain(project: Project, name: str) -> dict[str, Recipe]:
    """The recipe at the end, behind those that it extends; :class:`UserError` in a circle."""
    found: dict[str, Recipe] = {}
    wanted: str | None = name
    while wanted is not None:
        if wanted in found:
            circle = " -> ".join([*found, wanted])
            raise UserError(
                f"image recipes extend each other: {circle}",
                hint="Remove `extends` from one of them.",
            )
        found[wanted] = _read(project, wanted)
        wanted = found[wanted].extends
    return dict(reversed(found.items()))


def _extended(base: Recipe, own: Recipe) -> Recipe:
    if own.suite and base.suite and own.suite != base.suite:
        raise UserError(
            f"an image of {own.suite} cannot extend one of {base.suite}",
            hint="Leave `suite` out, or list the packages of the other image here.",
        )
    return own.model_copy(
        update={
            "suite": base.suite or own.suite,
            "packages": _joined(base.packages, own.packages),
            "programs": list(dict.fromkeys([*base.programs, *own.programs])),
            "system": list(dict.fromkeys([*base.system, *own.system])),
            "links": _joined(base.links, own.links),
        }
    )


def _joined(
    base: Mapping[str, Sequence[str]], own: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """For each name the words of both, each once."""
    names = dict.fromkeys([*base, *own])
    return {name: list(dict.fromkeys([*base.get(name, ()), *own.get(name, ())])) for name in names}


def _read(project: Project, name: str) -> Recipe:
    path = project.images / name / RECIPE
    try:
        return tomlfile.read(path, Recipe)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"there is no image {name!r} in {project.images}",
            hint=did_you_mean(name, names(project), "Known"),
        ) from None


def names(project: Project) -> list[str]:
    """The images of a project: the folders that hold a recipe."""
    return sorted(path.parent.name for path in project.images.glob(f"*/{RECIPE}"))


def overlays(project: Project, name: str, *, system: bool = False) -> list[Path]:
    """The folders copied over the initramfs, or the system, of an image.

    A later one's files replace an earlier one's.
    """
    folders = [
        project.images / each / "overlay"
        for each, recipe in _chain(project, name).items()
        if bool(recipe.system) == system
    ]
    return [folder for folder in folders if folder.is_dir()]
