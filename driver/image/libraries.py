# SPDX-License-Identifier: Apache-2.0
"""Which shared libraries a program needs, found without running it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from driver import process
from driver.errors import UserError

# Where Debian's amd64 loader looks; merged /usr, so /lib is /usr/lib.
SEARCH = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib", "/lib", "/lib64")

_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(?P<name>[^\]]+)\]")
_RUNPATH = re.compile(r"\((?:RUNPATH|RPATH)\)\s+Library r\w*path: \[(?P<path>[^\]]+)\]")
_INTERPRETER = re.compile(r"\[Requesting program interpreter: (?P<path>[^\]]+)\]")
_ELF = b"\x7fELF"


def closure(root: Path, wanted: Iterable[str]) -> list[str]:
    """What is ``wanted`` below ``root``, and every library and loader that needs, sorted.

    Guest paths of files, of folders with all that is below them, or patterns of either
    (:meth:`pathlib.Path.glob`). A file that is no ELF object needs nothing. A library is looked for
    where the loader does, and then, by its name, among the files that are wanted: a program may
    tell the loader where those are.

    What is absent, or needs a library that is absent, raises :class:`UserError`.
    """
    kept = [file for path in wanted for file in _files(root, path)]
    by_name = {PurePosixPath(file).name: file for file in reversed(kept)}
    found: set[str] = set()
    pending = list(kept)
    while pending:
        path = pending.pop()
        if path not in found:
            found.add(path)
            pending += _needs(root, path, by_name)
    return sorted(found)


def _files(root: Path, path: str) -> list[str]:
    """The files behind a path or a pattern; links among them that lead nowhere are left out."""
    if locate(root, path) is not None:
        return [path]
    places = sorted(root.glob(path.strip("/")))
    inside = [file for place in places if place.is_dir() for file in sorted(place.rglob("*"))]
    found = [f"/{file.relative_to(root)}" for file in dict.fromkeys([*places, *inside])]
    found = [file for file in found if locate(root, file) is not None]
    if not found:
        name = PurePosixPath(path).name
        elsewhere = sorted(f"/{each.relative_to(root)}" for each in root.rglob(name))
        raise UserError(
            f"no package of the image contains {path}",
            hint=f"They have {', '.join(elsewhere[:3])}."
            if elsewhere
            else "Correct the path in recipe.toml (`dpkg -L PACKAGE` lists its files).",
        )
    return found


def locate(root: Path, path: str) -> Path | None:
    """The regular file behind a guest path, following links inside ``root`` only."""
    host = root / path.lstrip("/")
    for _ in range(16):
        if host.is_symlink():
            target = host.readlink()
            host = root / str(target).lstrip("/") if target.is_absolute() else host.parent / target
        else:
            break
    return host if host.is_file() and not host.is_symlink() else None


def _needs(root: Path, path: str, kept: Mapping[str, str]) -> list[str]:
    file = locate(root, path)
    assert file is not None
    with file.open("rb") as opened:
        if opened.read(4) != _ELF:
            return []
    with process.explaining(f"find the libraries that {path} needs"):
        described = process.run(["readelf", "-W", "-d", "-l", file], env={"LC_ALL": "C"}).stdout
    extra = [
        directory.replace("$ORIGIN", str(PurePosixPath(path).parent))
        for match in _RUNPATH.finditer(described)
        for directory in match["path"].split(":")
    ]
    needed = [match["path"] for match in _INTERPRETER.finditer(described)]
    for match in _NEEDED.finditer(described):
        name = match["name"]
        candidates = [f"{directory}/{name}" for directory in (*extra, *SEARCH)]
        library = next((one for one in candidates if locate(root, one) is not None), kept.get(name))
        if library is None:
            raise UserError(
                f"{path} needs {name}, which no package of the image contains",
                hint="Add the package that ships it to recipe.toml.",
            )
        needed.append(library)
    return needed
