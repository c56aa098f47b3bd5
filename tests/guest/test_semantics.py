# SPDX-License-Identifier: Apache-2.0
"""Kernel semantics of DAX mappings: the same on every kernel, with or without shared tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from programs import (
    BASES,
    MACHINE,
    RAW_DEVICE,
    TOLERATED,
    Boots,
    Kernels,
    run_program,
)

SECONDS = 1500

ARMS = {"unpatched": ("none", None), "off": ("dax-pt-share", "0"), "on": ("dax-pt-share", "1")}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("arm", ARMS)
def test_semantics(
    arm: str,
    base: str,
    kernel: Kernels,
    boots: Boots,
    tmp_path: Path,
) -> None:
    series, switch = ARMS[arm]
    with boots(MACHINE, kernel(series, base=base), tolerate=TOLERATED) as guest:
        result = run_program(
            guest,
            ["semantics", "--directory", "/mnt/dax", "--raw-device", RAW_DEVICE],
            switch=switch,
            seconds=SECONDS,
        )
    (tmp_path / "tap.log").write_text(result.output)
    planned = re.search(r"^1\.\.(\d+)$", result.output, re.MULTILINE)
    # A case that is skipped has a reason behind its name.
    passed = re.findall(r"^ok \d+ - \S+$", result.output, re.MULTILINE)
    skipped = re.findall(r"^ok \d+ - \S+ # SKIP .*$", result.output, re.MULTILINE)
    failed = [line for line in result.output.splitlines() if line.startswith("not ok")]
    assert not failed, "\n".join(failed) + f"\n(everything: {tmp_path / 'tap.log'})"
    assert result.status == 0, result.output[-2000:]
    assert planned is not None
    assert len(passed) + len(skipped) == int(planned[1]), "not all cases were run"
    assert len(passed) > 0.8 * int(planned[1]), "most cases were skipped"
