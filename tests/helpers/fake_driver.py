# SPDX-License-Identifier: Apache-2.0
"""The ``driver`` command with kernels and images that nobody has compiled: a few MB of noise.

``python -m helpers.fake_driver run experiment ...`` is for clusters of :mod:`helpers.fake_hosts`.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from driver.api import preparation
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.cli.main import main
from driver.store import Store

# Of noise, which cannot be compressed, and of zeros behind it, in bytes.
NOISE, ZEROS = 3 << 20, 20 << 20


def build_kernel(*, series: str, workspace: Any, **_more: object) -> KernelArtifact:
    """A kernel that is none."""

    def make(folder: Path) -> Mapping[str, Any]:
        for name in ("vmlinux", "bzImage", "config", "build.log"):
            _noise(folder / name, series + name)
        return {"release": "6.12.1"}

    store: Store = workspace.store
    return KernelArtifact.stored(store.get("kernel", {"fake": series}, make), {})


def build_image(name: str, *, workspace: Any) -> ImageArtifact:
    """An image that is none."""

    def make(folder: Path) -> None:
        _noise(folder / "initramfs", name)

    artifact = workspace.store.get("image", {"fake": name}, make)
    return ImageArtifact(artifact.digest, name, artifact.path / "initramfs", {})


def _noise(path: Path, seed: str) -> None:
    with path.open("wb") as file:
        file.write(random.Random(seed).randbytes(NOISE))
        file.truncate(NOISE + ZEROS)


if __name__ == "__main__":
    setattr(preparation, "build_kernel", build_kernel)  # noqa: B010
    setattr(preparation, "build_image", build_image)  # noqa: B010
    main()
