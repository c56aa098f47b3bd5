# SPDX-License-Identifier: Apache-2.0
"""What the builders hand to everyone else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from driver.store import Artifact


@dataclass(frozen=True)
class KernelArtifact:
    """A built kernel.

    ``digest`` names everything that went in (source, series, configuration, compiler);
    ``release`` is what ``uname -r`` prints in it; ``provenance`` is JSON for the manifest.
    """

    digest: str
    release: str
    vmlinux: Path
    bzimage: Path
    config: Path
    build_log: Path
    provenance: dict[str, object]

    @classmethod
    def stored(cls, artifact: Artifact, provenance: dict[str, object]) -> KernelArtifact:
        """The kernel in an artifact of the store."""
        folder = artifact.path
        return cls(
            digest=artifact.digest,
            release=artifact.facts["release"],
            vmlinux=folder / "vmlinux",
            bzimage=folder / "bzImage",
            config=folder / "config",
            build_log=folder / "build.log",
            provenance=provenance,
        )


@dataclass(frozen=True)
class SystemDisk:
    """A file with a file system that guests only read, ``mib`` MiB large."""

    path: Path
    mib: int


@dataclass(frozen=True)
class ImageArtifact:
    """A built guest image: one uncompressed or compressed cpio archive for ``-initrd``.

    With a ``system`` the programs of the initramfs run in that Debian system.
    """

    digest: str
    name: str
    initramfs: Path
    provenance: dict[str, object]
    system: SystemDisk | None = None
