# SPDX-License-Identifier: Apache-2.0
"""Which shared libraries a program needs, found without running it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from driver import process
from driver.errors import UserError

# Where Debian's amd64 loader looks; merged /usr, so /lib is /usr/lib.
SEARCH = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib", "/lib", "/lib64")

_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(?P<name>[^\]]+)\]")
_RUNPATH = re.compile(r"\((?:RUNPATH|RPATH)\)\s+Library r\w*path: \[(?P<path>[^\]]+)\]")
_INTERPRETER = re.compile(r"\[Requesting program interpreter: (?P<path>[^\]]+)\]")
_ELF = b"\x7fELF"


def closure(root: Path, files: Iterable[str]) -> list[str]:
    """``files`` (guest paths below ``root``) and every library and loader they need, sorted.

    A file that is absent, or needs a library that is absent, raises :class:`UserError`. A file
    that is no ELF object needs nothing.
    """
    found: set[str] = set()
    pending = list(files)
    while pending:
        path = pending.pop()
        if path in found:
            continue
        if locate(root, path) is None:
            raise UserError(
                f"no package of the image contains {path}",
                hint="Correct the path in recipe.toml (`dpkg -L PACKAGE` lists its files).",
            )
        found.add(path)
        pending += _needs(root, path)
    return sorted(found)


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


def _needs(root: Path, path: str) -> list[str]:
    file = locate(root, path)
    assert file is not None
    with file.open("rb") as opened:
        if opened.read(4) != _ELF:
            return []
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
        library = next((one for one in candidates if locate(root, one) is not None), None)
        if library is None:
            raise UserError(
                f"{path} needs {name}, which no package of the image contains",
                hint="Add the package that ships it to recipe.toml.",
            )
        needed.append(library)
    return needed
