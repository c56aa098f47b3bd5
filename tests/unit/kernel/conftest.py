# SPDX-License-Identifier: Apache-2.0
"""A small fake kernel tree that really configures and compiles, and a series for it.

Git, make and cc are the real ones: what is faked is only the size of the kernel.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from driver.project import Project
from driver.store import Store

FAKE = Path(__file__).parents[2] / "fixtures/fake-kernel"


@dataclass
class Recorder:
    """A reporter that remembers."""

    steps: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    updates: list[tuple[int, int | None, str]] = field(default_factory=list)

    def step(self, title: str) -> None:
        self.steps.append(title)

    def progress(self, done: int, total: int | None, label: str = "") -> None:
        self.updates.append((done, total, label))

    def note(self, text: str) -> None:
        self.notes.append(text)


def sh(command: str, cwd: Path) -> str:
    """Run a shell line in ``cwd`` and return what it prints; any failure fails the test."""
    environment = {
        **os.environ,
        "GIT_AUTHOR_NAME": "A U Thor",
        "GIT_AUTHOR_EMAIL": "author@example.org",
        "GIT_COMMITTER_NAME": "C O Mitter",
        "GIT_COMMITTER_EMAIL": "committer@example.org",
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }
    done = subprocess.run(
        command, shell=True, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


@pytest.fixture(autouse=True)
def fragments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Fragments in terms of the miniature's symbols, in place of the real machine's."""
    folder = tmp_path / "fragments"
    folder.mkdir()
    (folder / "machine.config").write_text("CONFIG_SMP=y\nCONFIG_NR_CPUS=8\nCONFIG_DAX=y\n")
    (folder / "debug.config").write_text("CONFIG_NUMA=y\n")
    monkeypatch.setattr("driver.kernel.kconfig_fragment.FOLDER", folder)
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The miniature as a plain directory."""
    return Path(shutil.copytree(FAKE, tmp_path / "linux"))


@pytest.fixture
def repository(tree: Path) -> Path:
    """The miniature as a git tree of a user's."""
    sh("git init -q && git add -A -f && git commit -qm base", tree)
    return tree


@pytest.fixture(scope="session")
def _archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "linux-6.12.1.tar"
    sh(f"tar -cf {path} --transform 's,^fake-kernel,linux-6.12.1,' fake-kernel", FAKE.parent)
    return path


@pytest.fixture
def tarball(tmp_path: Path, _archive: Path) -> str:
    """The miniature as a ``--source`` tarball."""
    path = Path(shutil.copy(_archive, tmp_path))
    return f"file://{path}#sha256={hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.fixture(scope="session")
def patches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = Path(shutil.copytree(FAKE, tmp_path_factory.mktemp("author") / "linux"))
    sh("git init -q && git add -A -f && git commit -qm base", work)
    feature = work / "mm/feature.c"
    feature.write_text(feature.read_text().replace("return 1;", "return 2;"))
    sh("git commit -qsam 'feature: count to two'", work)
    memory = work / "mm/memory.c"
    memory.write_text(memory.read_text().replace("pages = 0;", "pages = -1;"))
    sh("git commit -qsam 'mm: leave no pages'", work)
    sh("git format-patch -q -o ../patches HEAD~2", work)
    return work.parent / "patches"


@pytest.fixture
def project(tmp_path: Path, patches: Path) -> Project:
    """A project whose default series, ``two``, has two patches for Linux 6.12: a feature, and a
    change to mm/memory.c.
    """
    root = tmp_path / "project"
    for name in ("guest-images", "experiments"):
        (root / name).mkdir(parents=True)
    folder = Path(shutil.copytree(patches, root / "kernel-patches/two/6.12"))
    (folder / "feature.config").write_text("CONFIG_FEATURE=y\n")
    write_series(folder)
    (root / "kernel-patches/default").symlink_to("two")
    return Project(root)


def write_series(folder: Path, **changes: object) -> None:
    """Write a series.toml that lists every patch of the folder, with ``changes`` on top."""
    values: dict[str, object] = {
        "name": "two",
        "description": "two patches",
        "patches": sorted(path.name for path in folder.glob("*.patch")),
        "kconfig": ["feature.config"],
        **changes,
    }
    lines = [f"{key} = {value!r}" for key, value in values.items() if value is not None]
    (folder / "series.toml").write_text("\n".join(lines) + "\n")
