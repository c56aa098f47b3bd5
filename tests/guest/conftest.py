# SPDX-License-Identifier: Apache-2.0
"""What guest tests share: kernels and images from the user's store, projects to scribble in.

Kernels come from the same store as everybody's, so that the tests build only what is not there.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest
from helpers.fault_table import print_faults
from programs import Boots, Kernels, image_with_programs

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.boot import boot
from driver.guest.machine import Machine
from driver.guest.session import Guest
from driver.image import build_image
from driver.kernel import build_kernel
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

ROOT = Path(__file__).resolve().parents[2]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test here boots a real kernel."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.guest)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The faults that were injected, and what each cost, as the tests report them."""
    print_faults(terminalreporter)


@pytest.fixture(scope="session")
def store() -> Store:
    return Store(notify=PlainReporter().note)


@pytest.fixture(scope="session")
def project() -> Project:
    return Project.find(ROOT)


@pytest.fixture(scope="session")
def kernel(store: Store, project: Project) -> Kernels:
    @cache
    def of_series(
        series: str, *, base: str | None = None, variant: str | None = None
    ) -> KernelArtifact:
        return build_kernel(
            store, project, series=series, base=base, variant=variant, reporter=PlainReporter()
        )

    return of_series


@pytest.fixture(scope="session")
def plain(kernel: Kernels) -> KernelArtifact:
    """The unpatched kernel."""
    return kernel("none")


@pytest.fixture(scope="session")
def image(store: Store, project: Project) -> ImageArtifact:
    return build_image(store, project, "dax", PlainReporter())


@pytest.fixture
def boots(image: ImageArtifact, store: Store, tmp_path: Path) -> Boots:
    with_programs = image_with_programs(store, image, tmp_path)

    def start(
        machine: Machine,
        kernel: KernelArtifact,
        *,
        tolerate: frozenset[str] = frozenset(),
        seconds: float | None = None,
    ) -> Guest:
        deadline = None if seconds is None else Deadline.after(seconds, "booting")
        return boot(machine, kernel, with_programs, tmp_path, deadline=deadline, tolerate=tolerate)

    return start


@pytest.fixture
def scratch_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with our series, images and experiments whose results go nowhere near ours."""
    for folder in ("kernel-patches", "guest-images"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "experiments").mkdir()
    for entry in (ROOT / "experiments").iterdir():
        (tmp_path / "experiments" / entry.name).symlink_to(entry)
    monkeypatch.setitem(os.environ, "DRIVER_PROJECT", str(tmp_path))
    return tmp_path
