# SPDX-License-Identifier: Apache-2.0
"""Faults of Linux that the series fsdax-fixes repairs: each shows without it, and not with it.

A kernel without the series on which a program finds nothing fails as well: then the program does
not see what it looks for, and its silence about the other kernel means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from programs import MACHINE, image_with_programs, on_reflink, run_program

from driver.artifacts import ImageArtifact
from driver.errors import DriverError
from driver.guest.boot import boot
from driver.kernel import build_kernel
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

SECONDS = 900
PROGRAMS = {
    "zero-page": ["races", "--rounds", "1", "--strict"],
    "copy-on-write": on_reflink(["reflink", "--rounds", "4"]),
}
CASES = [
    ("6.12", "zero-page"),
    ("6.12", "copy-on-write"),
    ("7.3", "zero-page"),
]


Run = Callable[[str, str, str], tuple[bool, str]]


@pytest.fixture
def run(image: ImageArtifact, store: Store, project: Project, tmp_path: Path) -> Run:
    """``run(series, base, name)``: whether a program is content, and what it or the kernel says."""

    def in_guest(series: str, base: str, name: str) -> tuple[bool, str]:
        kernel = build_kernel(store, project, series=series, base=base, reporter=PlainReporter())
        folder = tmp_path / series
        folder.mkdir()
        with_programs = image_with_programs(store, image, folder)
        try:
            with boot(MACHINE, kernel, with_programs, folder) as guest:
                result = run_program(guest, PROGRAMS[name], switch=None, seconds=SECONDS)
        except DriverError as error:
            return False, f"{error.message}\n{error.excerpt}"
        return result.status == 0, result.output

    return in_guest


@pytest.mark.parametrize(("base", "name"), CASES)
def test_a_fault_shows_without_the_series_only(base: str, name: str, run: Run) -> None:
    good, text = run("fsdax-fixes", base, name)
    assert good, text
    good, text = run("none", base, name)
    assert not good, text
