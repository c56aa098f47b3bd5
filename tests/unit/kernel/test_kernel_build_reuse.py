# SPDX-License-Identifier: Apache-2.0
"""A build that begins with another's objects: what it compiles, and that it is the same kernel."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import sh, write_series
from filelock import FileLock
from test_kernel_build import Builder

from driver.project import Project
from driver.store import Store


@pytest.fixture
def build(store: Store, project: Project) -> Builder:
    return Builder(store, project)


def add_series(project: Project, name: str, edit: str, patches: Path) -> None:
    """A second series on the same base, made by a shell line in the miniature."""
    work = Path(shutil.copytree(patches.parent / "linux", project.root.parent / f"author-{name}"))
    sh(f"git checkout -q HEAD~2 && {edit} && git commit -qsam '{name}'", work)
    folder = project.patches / name / "6.12"
    sh(f"git format-patch -q -o {folder} HEAD~1", work)
    write_series(folder, name=name, kconfig=None)


def test_a_second_series_compiles_what_it_changes(
    build: Builder, tarball: str, project: Project, patches: Path
) -> None:
    build(tarball, "none")
    assert build.compiled == ["main.o", "memory.o"]
    add_series(project, "seven", "sed -i 's/pages = 0/pages = 7/' mm/memory.c", patches)
    kernel = build(tarball, "seven")
    assert build.compiled == ["memory.o"]
    assert kernel.provenance["seeded_from"].endswith("-none")  # type: ignore[attr-defined]
    assert kernel.provenance["full_build"] is False


def test_a_header_that_differs_reaches_all_that_include_it(
    build: Builder, tarball: str, project: Project, patches: Path
) -> None:
    """It is the new tree's header that the copied dependencies must name."""
    build(tarball, "none")
    add_series(project, "large", "sed -i s/12/21/ include/linux/mm.h", patches)
    build(tarball, "large")
    assert build.compiled == ["main.o", "memory.o"]


def test_is_the_kernel_that_a_build_from_nothing_makes(
    build: Builder, tarball: str, project: Project, tmp_path: Path
) -> None:
    build(tarball, "none")
    seeded = build(tarball, "two")
    whole = Builder(Store(tmp_path / "elsewhere"), project)(tarball)
    assert (seeded.provenance["full_build"], whole.provenance["full_build"]) == (False, True)
    assert seeded.digest == whole.digest
    assert seeded.vmlinux.read_bytes() == whole.vmlinux.read_bytes()
    assert seeded.config.read_text() == whole.config.read_text()


def test_the_nearest_sibling_is_taken(
    build: Builder, tarball: str, project: Project, patches: Path
) -> None:
    build(tarball, "none")
    build(tarball, "two")
    edit = "sed -i 's/return 1/return 2/' mm/feature.c && sed -i 's/= 0/= -2/' mm/memory.c"
    add_series(project, "near", edit, patches)
    assert str(build(tarball, "near").provenance["seeded_from"]).endswith("-two")


def test_the_sibling_stays_as_it_was(
    build: Builder, store: Store, tarball: str, project: Project, patches: Path
) -> None:
    first = build(tarball, "two")
    add_series(project, "seven", "sed -i 's/pages = 0/pages = 7/' mm/memory.c", patches)
    build(tarball, "seven")
    patch = project.patches / "two/6.12/0001-feature-count-to-two.patch"
    patch.write_text(patch.read_text().replace("return 2;", "return 3;"))
    assert build(tarball, "two").digest != first.digest
    assert build.compiled == ["feature.o"]
    tree = next(store.scratch("kernel-tree").glob("*-seven"))
    assert "return 1;" in (tree / "mm/feature.c").read_text()
    assert sh("git status --porcelain", tree) == ""


def test_a_sibling_at_work_is_left_alone(
    build: Builder, store: Store, tarball: str, project: Project, patches: Path
) -> None:
    build(tarball, "two")
    add_series(project, "seven", "sed -i 's/pages = 0/pages = 7/' mm/memory.c", patches)
    tree = next(store.scratch("kernel-tree").glob("*-two"))
    with FileLock(store.root / "locks" / f"build-{tree.name}.lock"):
        kernel = build(tarball, "seven")
    assert kernel.provenance["seeded_from"] is None
    assert build.compiled == ["main.o", "memory.o"]


def test_debug_information_names_files_and_is_not_copied(
    build: Builder, store: Store, tarball: str, project: Project, patches: Path
) -> None:
    build(tarball, "none")
    config = next(store.scratch("kernel-build").glob("*-none")) / ".config"
    config.write_text(config.read_text() + "CONFIG_DEBUG_INFO=y\n")
    assert build(tarball).provenance["seeded_from"] is None


def test_an_interrupt_before_anything_was_copied_costs_nothing(
    build: Builder, tarball: str, project: Project, patches: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(tarball, "none")
    add_series(project, "seven", "sed -i 's/pages = 0/pages = 7/' mm/memory.c", patches)

    def interrupted(*_trees: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("driver.kernel.build_reuse.copy_objects", interrupted)
        with pytest.raises(KeyboardInterrupt):
            build(tarball, "seven")
    kernel = build(tarball, "seven")
    assert str(kernel.provenance["seeded_from"]).endswith("-none")
    assert build.compiled == ["memory.o"]


def test_another_variant_at_work_is_in_nobodys_way(
    build: Builder, store: Store, tarball: str, project: Project, patches: Path
) -> None:
    """It holds the tree that both are built from, and leaves what was compiled alone."""
    build(tarball, "two")
    add_series(project, "seven", "sed -i 's/pages = 0/pages = 7/' mm/memory.c", patches)
    tree = next(store.scratch("kernel-tree").glob("*-two"))
    with FileLock(store.root / "locks" / f"tree-{tree.name}.lock"):
        kernel = build(tarball, "seven")
    assert str(kernel.provenance["seeded_from"]).endswith("-two")


def test_the_lock_of_a_git_that_was_killed_is_no_obstacle(build: Builder, tarball: str) -> None:
    build(tarball, "none")
    (repository,) = build.store.root.glob("sources/*/linux/.git")
    (repository / "index.lock").touch()
    build(tarball, "two")
    (linked,) = repository.glob("worktrees/*/index")
    linked.with_name("index.lock").touch()
    (repository / "index.lock").touch()
    build(tarball, variant="debug")
    assert list(repository.rglob("*.lock")) == []
