# SPDX-License-Identifier: Apache-2.0
"""Where the kernel source comes from, and what exactly it is.

==========================  ====================================================================
``--source``                meaning
==========================  ====================================================================
(nothing)                   the newest Debian package ``linux-source-<base of the series>``
``debian:BASE[=VERSION]``   that package, and that version of it
``URL#sha256=HEX``          a tarball (``https``, ``http``, ``file``) with exactly this digest
``DIR``                     the user's own tree, built out of tree as it stands, never written to;
                            one that `driver patch checkout` made: built from a snapshot of it
==========================  ====================================================================

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
from driver.report import Reporter
from driver.store import Store

# The base used when neither a source nor a series says which.
DEFAULT_BASE = "6.12"


@dataclass(frozen=True)
class Source:
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


def is_directory_spec(spec: str | None) -> bool:
    """Whether ``--source`` names a tree of the user's, which is built as it stands."""
    return spec is not None and not re.match(r"(debian:|[a-z]+://)", spec)


def obtain(store: Store, spec: str | None, base: str, reporter: Reporter) -> Source:
    """The source that ``--source`` asks for, fetched and unpacked if it is not in the cache.

    ``base`` ("6.12") chooses the Debian package when ``spec`` is None. Raises
    :class:`UserError` for a source that cannot be what was meant and
    :class:`~driver.errors.HostError` for one that cannot be had.
    """
    from driver.kernel import debian, snapshot, tarball, usertree  # noqa: PLC0415  (cycle)

    if spec is None:
        return debian.obtain(store, base, None, reporter)
    if is_directory_spec(spec):
        tree = Path(spec).expanduser().resolve()
        return snapshot.obtain(store, tree) or usertree.obtain(tree)
    if spec.startswith("debian:"):
        wanted, _, version = spec.removeprefix("debian:").partition("=")
        return debian.obtain(store, wanted, version or None, reporter)
    return tarball.obtain(store, spec, reporter)


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
