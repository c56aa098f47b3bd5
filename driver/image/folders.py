# SPDX-License-Identifier: Apache-2.0
"""Folders of the host as files of a guest: a second archive behind an image's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from driver.artifacts import ImageArtifact
from driver.digest import tree_digest
from driver.errors import UserError
from driver.image import cpio
from driver.image.tree import tree
from driver.progress import Reporter
from driver.store import Store

_INITRAMFS = "initramfs.cpio"


def check_folders(folders: Mapping[str, Path]) -> None:
    """Raise :class:`UserError` for a folder that does not exist, before minutes are spent."""
    for guest, host in folders.items():
        if not host.is_dir():
            raise UserError(
                f"{host}, the files of {guest}, is not a folder",
                hint="Build it, or correct `files`.",
            )


def with_folders(
    store: Store, image: ImageArtifact, folders: Mapping[str, Path], reporter: Reporter
) -> ImageArtifact:
    """The image with each folder copied to a place in the guest; the image itself if there is none.

    The copies take memory of the guest, as all of an initramfs does.
    """
    if not folders:
        return image
    check_folders(folders)
    digests = {guest: tree_digest(host) for guest, host in folders.items()}

    def make(work: Path) -> dict[str, object]:
        reporter.step(f"Adding {', '.join(map(str, folders.values()))} to image {image.name}")
        entries = {
            guest.rstrip("/") + name: entry
            for guest, host in folders.items()
            for name, entry in tree(host).items()
        }
        added = work / "added.cpio"
        cpio.write(added, entries)
        cpio.concatenate([image.initramfs, added], work / _INITRAMFS)
        added.unlink()
        return {"bytes": (work / _INITRAMFS).stat().st_size}

    built = store.get("image", {"image": image.digest, "folders": digests}, make)
    return replace(
        image,
        digest=built.digest,
        initramfs=built.path / _INITRAMFS,
        provenance={**image.provenance, **built.facts, "folders": digests},
    )
