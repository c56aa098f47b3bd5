# SPDX-License-Identifier: Apache-2.0
"""What exactly a kernel source is (:mod:`driver.kernel.sources.spec` says where it comes from).

A source is known by its *content*: the id of its git tree, plus a digest of what is not
committed. A clean checkout of the Debian source therefore shares its artifacts with the package.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from driver.errors import UserError

# The base used when neither a source nor any series of the project says which.
DEFAULT_BASE = "6.12"
# What --source may be, for hints.
SPECS = "--source takes a directory, debian:BASE[=VERSION], or URL#sha256=HEX."


@dataclass(frozen=True)
class KernelSource:
    """A kernel source tree on disk.

    ``identity`` names its content; ``version`` is what its Makefile says ("6.12.117");
    ``label`` is for people; ``origin`` is JSON for the manifest.

    ``commit`` is what to build of ``tree``, a git repository of ours; it is empty for the user's
    own tree, which is built where it is. ``place`` names the directories it is built in: a changed
    file keeps it. ``pristine`` is true if patches may be applied.
    """

    tree: Path
    identity: str
    version: str
    label: str
    pristine: bool
    place: str
    commit: str = ""
    origin: Mapping[str, Any] = field(default_factory=dict)


def short_name(version: str, identity: str) -> str:
    """A directory name that stands for a source as long as its content stays."""
    return f"{version}-{identity.rpartition(':')[2][:12]}"


def base_of(version: str) -> str:
    """ "6.12" of "6.12.117": what the names of Debian's packages and of series' folders have."""
    return ".".join(re.findall(r"\d+", version)[:2])


def numeric(version: str) -> list[int]:
    """A version of Linux as numbers, to sort by: 6.12 is newer than 6.2."""
    return [int(part) for part in re.findall(r"\d+", version)]


def debian_base(spec: str | None) -> str | None:
    """The base that ``debian:BASE[=VERSION]`` asks for; None for another source."""
    if spec is None or not spec.startswith("debian:"):
        return None
    return spec.removeprefix("debian:").partition("=")[0]


def is_directory_spec(spec: str | None) -> bool:
    """Whether ``--source`` names a tree of the user's, which is built as is."""
    return spec is not None and not re.match(r"(debian:|[a-z]+://)", spec)


def kernel_version(tree: Path) -> str:
    """ "6.12.117" from the Makefile of a kernel tree; :class:`UserError` if it is not one."""
    try:
        head = (tree / "Makefile").read_text(encoding="utf-8", errors="replace")[:2000]
    except OSError:
        head = ""
    found: dict[str, str] = dict(
        re.findall(r"^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) *= *(\S*)$", head, re.M)
    )
    if not {"VERSION", "PATCHLEVEL"} <= found.keys() or not (tree / "scripts/kconfig").is_dir():
        raise UserError(
            f"{tree} is not a Linux source tree (no kernel Makefile and scripts/kconfig)",
            hint="Name the top directory of a kernel tree.",
        )
    numbers = [found[name] for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL") if found.get(name)]
    return ".".join(numbers) + found.get("EXTRAVERSION", "")
