# SPDX-License-Identifier: Apache-2.0
"""A root file system of the user's, in place of a system that a recipe asks for."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from driver import process
from driver.artifacts import ImageArtifact
from driver.errors import UserError
from driver.image import system
from driver.progress import Reporter
from driver.store import Store, digest_of, file_digest, tree_digest

# Where the superblock of an EROFS is, and how it begins (fs/erofs/erofs_fs.h of Linux).
_SUPERBLOCK = 1024
_MAGIC = bytes.fromhex("e2e1f5e0")
# What every root has that programs can run in; Debian's /bin is a link to it.
_PROGRAMS = "usr/bin"


def with_root(store: Store, image: ImageArtifact, root: Path, reporter: Reporter) -> ImageArtifact:
    """The image with the root file system in a directory, or in a file that is an EROFS.

    The programs of the image show in it where it has none of that name, the agent among them: it
    needs none of its own. Nothing of the host is written to; the store has a copy.

    Raises :class:`UserError` if there is no such file or directory, or it is something else.
    """
    check_root(root)
    inputs = {"root": tree_digest(root) if root.is_dir() else file_digest(root)}

    def make(work: Path) -> dict[str, object]:
        reporter.step(f"Copy the root file system {root}")
        if root.is_file():
            shutil.copyfile(root, work / system.FILE)
        else:
            # The user owns what root should: without root nobody else can be recorded.
            owner = [] if os.geteuid() == 0 else ["--all-root"]
            process.run(["mkfs.erofs", *system.EROFS, *owner, work / system.FILE, root])
        system.pad(work / system.FILE)
        return {}

    copied = store.get("rootfs", inputs, make)
    return replace(
        image, digest=digest_of([image.digest, copied.digest]), system=system.disk(copied)
    )


def check_root(root: Path) -> None:
    """Raise :class:`UserError` for what is no root file system, before a kernel is built."""
    if root.is_dir():
        if not (root / _PROGRAMS).is_dir():
            raise UserError(
                f"{root} is no root file system: it has no /{_PROGRAMS}",
                hint="Name the directory that shall be / in the guest.",
            )
        return
    try:
        with root.open("rb") as file:
            file.seek(_SUPERBLOCK)
            found = file.read(len(_MAGIC))
    except OSError as error:
        raise UserError(
            f"there is no root file system {root}: {error.strerror}",
            hint="Name a directory, or a file made by mkfs.erofs.",
        ) from None
    if found != _MAGIC:
        raise UserError(
            f"{root} is no EROFS",
            hint="Unpack it into a directory and name that, or make one: mkfs.erofs FILE DIR.",
        )
