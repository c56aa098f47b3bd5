# SPDX-License-Identifier: Apache-2.0
"""``guest-images/NAME/recipe.toml``: what an image is made of, as a person writes it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator

from driver import tomlfile
from driver.errors import UserError
from driver.project import Project

RECIPE = "recipe.toml"


class Recipe(BaseModel):
    """A guest image.

    ``packages`` maps a Debian package of ``suite`` to the files kept of it; shared libraries that
    kept programs need follow by themselves. ``programs`` are folders, relative to the project, of
    C sources that become static programs in ``/usr/bin`` (see :mod:`driver.image.programs`).
    ``links`` maps a program to further names for it, in the directory it lies in. The folder
    ``overlay/`` next to the recipe is copied over the result.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: str = Field(min_length=1)
    suite: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    packages: dict[str, list[str]] = Field(min_length=1)
    programs: list[str] = []
    links: dict[str, list[str]] = {}

    @field_validator("packages")
    @classmethod
    def _absolute_files(cls, packages: dict[str, list[str]]) -> dict[str, list[str]]:
        for package, files in packages.items():
            for file in files:
                if not file.startswith("/"):
                    raise ValueError(f"{package}: {file!r} is not an absolute path")
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
    """Read the recipe of image ``name``; :class:`UserError` when absent or malformed."""
    path = project.images / name / RECIPE
    try:
        return tomlfile.read(path, Recipe)
    except (FileNotFoundError, NotADirectoryError):
        known = ", ".join(names(project)) or "none"
        raise UserError(
            f"there is no image {name!r}", hint=f"Name one of guest-images/: {known}."
        ) from None


def names(project: Project) -> list[str]:
    """The images of a project: the folders that hold a recipe."""
    return sorted(path.parent.name for path in project.images.glob(f"*/{RECIPE}"))


def overlay(project: Project, name: str) -> Path:
    """The folder copied over the image; it need not exist."""
    return project.images / name / "overlay"
