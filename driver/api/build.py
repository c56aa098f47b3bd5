# SPDX-License-Identifier: Apache-2.0
"""Kernels and guest images, from the cache or built now."""

from __future__ import annotations

from pathlib import Path

from driver import image, kernel
from driver.api.workspace import Workspace, default
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.image import rootfs


def build_kernel(
    *,
    series: str | None = None,
    source: str | None = None,
    variant: str | None = None,
    base: str | None = None,
    jobs: int | None = None,
    workspace: Workspace | None = None,
) -> KernelArtifact:
    """A kernel, its ``vmlinux``, ``bzimage`` and ``config`` as paths.

    ``series`` is a folder of ``kernel-patches/`` or ``"none"``; ``source`` a directory, a Debian
    package (``debian:BASE[=VERSION]``) or ``URL#sha256=HEX``; ``variant`` a fragment of more
    configuration, such as ``"debug"``; ``base`` a version of Linux such as ``"6.12"`` (None: what
    the source is, else the newest that the series exists for); ``jobs`` how many compilers run at
    once (None: as many as there are processors). Raises :class:`UserError` for what does not exist
    or does not apply, and
    :class:`HostError` if the kernel does not build.
    """
    place = workspace or default()
    return kernel.build_kernel(
        place.store,
        place.project,
        source=source,
        series=series,
        variant=variant,
        base=base,
        jobs=jobs,
        reporter=place.reporter,
    )


def build_image(name: str = "dax", *, workspace: Workspace | None = None) -> ImageArtifact:
    """A guest image, its ``initramfs`` as a path; ``name`` is a folder of ``guest-images/``.

    Raises :class:`UserError` for a recipe that is missing or wrong, and :class:`HostError` if its
    packages cannot be fetched or its programs do not build.
    """
    place = workspace or default()
    return image.build_image(place.store, place.project, name, place.reporter)


def check_rootfs(path: Path) -> None:
    """Raise :class:`UserError` for what is no root file system; copy nothing."""
    rootfs.check_root(path)


def with_rootfs(
    built: ImageArtifact, path: str | Path, *, workspace: Workspace | None = None
) -> ImageArtifact:
    """An image whose guests have a root file system of yours.

    ``path`` is a directory, or a file made by ``mkfs.erofs``; it is copied, and never written to.
    The programs of the image are there, too, so that it needs neither an agent nor an SSH server.
    Raises :class:`UserError` if it is no root file system.
    """
    place = workspace or default()
    return rootfs.with_root(place.store, built, Path(path).expanduser(), place.reporter)


def check_image(name: str, *, workspace: Workspace | None = None) -> None:
    """Raise :class:`UserError` for a recipe that is missing or wrong; build nothing."""
    image.check_image((workspace or default()).project, name)
