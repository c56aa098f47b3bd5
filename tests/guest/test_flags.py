# SPDX-License-Identifier: Apache-2.0
"""The owner of a file changes its flags while processes share page tables of it.

For a few seconds; longer runs, and other kernels, are by hand, see ``flags/README.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from programs import MACHINE, flags, image_with_programs, run_program

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.guest.boot import boot
from driver.store import Store

GUEST_SECONDS = 15
SECONDS = 300


@pytest.mark.parametrize("file_system", ["ext2", "ext4"])
def test_flags(
    file_system: str,
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    store: Store,
    tmp_path: Path,
) -> None:
    with_programs = image_with_programs(store, image, tmp_path)
    with boot(MACHINE, kernel("dax-pt-share"), with_programs, tmp_path) as guest:
        result = run_program(guest, flags(file_system, GUEST_SECONDS), switch="1", seconds=SECONDS)
    assert result.status == 0, result.output
