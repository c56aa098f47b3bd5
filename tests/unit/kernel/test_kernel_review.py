# SPDX-License-Identifier: Apache-2.0
"""Checking a series: every kind of complaint, each by a series that deserves it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from conftest import Recorder, sh, write_series

from driver.kernel.review import Complaint, Report, review
from driver.kernel.worktree import await_tick
from driver.project import Project
from driver.store import Store

FEATURE = "0001-feature-count-to-two.patch"


@pytest.fixture
def no_sparse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.kernel.review._SPARSE", "there-is-no-sparse-here")


def check(store: Store, project: Project, tarball: str, *, build: bool = True) -> Report:
    return review(
        store, project, series="two", base=tarball, build=build, full=False, jobs=2,
        reporter=Recorder(),
    )  # fmt: skip


def write_patches(project: Project, author: Path, *edits: str) -> None:
    """The series 6.12 made of these shell lines, a commit each."""
    folder = project.patches / "two/6.12"
    for patch in folder.glob("*.patch"):
        patch.unlink()
    sh("git checkout -qB edits HEAD~2", author)
    for number, edit in enumerate(edits, start=1):
        sh(f"{edit} && git add -A && git commit -qsm 'change {number}'", author)
    sh(f"git format-patch -q -o {folder} HEAD~{len(edits)}", author)
    write_series(folder)


@pytest.fixture
def author(tmp_path: Path, patches: Path) -> Path:
    sh(f"cp -a {patches.parent}/linux {tmp_path}/author", tmp_path)
    return tmp_path / "author"


def test_a_good_series(store: Store, project: Project, tarball: str, no_sparse: None) -> None:
    report = check(store, project, tarball)
    assert report.complaints == []
    assert report.done == [
        "checkpatch.pl --strict on 2 patches",
        "the whole kernel builds, options on",
        "the whole kernel builds, options off",
        "2 objects of the series, after each of 2 patches, options on",
        "sparse is not installed: not run",
        "1 object of the series, after each of 2 patches, options off",
    ]
    off = next((store.root / "scratch/kernel-build").glob("*-two-options-off"))
    assert "CONFIG_FEATURE" not in (off / ".config").read_text()
    assert not list(store.scratch().glob("steps-*"))
    assert len(list(store.scratch("kernel-tree").iterdir())) == 1


def test_checkpatch_complains_of_a_patch(
    store: Store, project: Project, tarball: str, author: Path
) -> None:
    write_patches(project, author, "true > mm/new.c", "echo 'int a; ' >> mm/memory.c")
    report = check(store, project, tarball, build=False)
    (found,) = report.complaints
    assert (found.patch, found.check) == ("0002-change-2.patch", "checkpatch")
    assert found.text.startswith("ERROR: trailing whitespace\n#")


def test_a_patch_that_needs_a_later_one_is_found(
    store: Store, project: Project, tarball: str, author: Path, no_sparse: None
) -> None:
    """The kernel builds with the whole series, and not with the first patch alone."""
    write_patches(
        project,
        author,
        "sed -i 's/return 1;/return COUNT;/' mm/feature.c",
        "sed -i '1a #define COUNT 2' mm/feature.c",
    )
    (found,) = check(store, project, tarball).complaints
    assert (found.patch, found.check) == ("0001-change-1.patch", "build, options on")
    assert "mm/feature.c:4: " in found.text
    assert "COUNT" in found.text


def test_a_series_that_needs_its_option_is_found(
    store: Store, project: Project, tarball: str, author: Path, no_sparse: None
) -> None:
    edit = (
        "sed -i '2a int feature(void);' mm/memory.c && "
        "sed -i 's/return pages;/return pages + feature();/' mm/memory.c"
    )
    write_patches(project, author, edit)
    (found,) = check(store, project, tarball).complaints
    assert (found.patch, found.check) == ("two", "build, options off")
    assert "undefined reference to `feature'" in found.text


def test_what_is_not_configured_need_not_compile(
    store: Store, project: Project, tarball: str, author: Path, no_sparse: None
) -> None:
    edit = "printf '#ifndef CONFIG_FEATURE\\n#error\\n#endif\\n' >> mm/feature.c"
    write_patches(project, author, edit, "echo 'int two;' >> mm/feature.c")
    assert check(store, project, tarball).complaints == []


def test_a_warning_is_a_complaint(
    store: Store, project: Project, tarball: str, author: Path, no_sparse: None
) -> None:
    # Of what gcc 12 warns by itself, gcc 14 has made much an error; not this.
    odd = "sed -i 's/pages = 0;/pages = 1LL << 40;/' mm/memory.c"
    write_patches(project, author, odd, "sed -i 's/1LL << 40/0/' mm/memory.c")
    found = check(store, project, tarball).complaints
    assert {complaint.patch for complaint in found} == {"0001-change-1.patch"}
    assert re.search(r"mm/memory\.c:14:\d+: warning: ", found[0].text)


def test_an_object_that_comes_with_a_later_patch_is_no_complaint(
    store: Store, project: Project, tarball: str, author: Path, no_sparse: None
) -> None:
    write_patches(
        project,
        author,
        "echo 'int later;' > mm/later.c",
        "sed -i 's,init/main.o,& mm/later.o,' Makefile",
    )
    report = check(store, project, tarball)
    assert report.complaints == []
    assert any(line.startswith("1 object of the series") for line in report.done)


def test_only_what_sparse_did_not_say_of_the_base_counts(
    store: Store,
    project: Project,
    tarball: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This sparse warns of every `return`, on whatever line it is."""
    script = tmp_path / "bin/sparse"
    script.parent.mkdir()
    script.write_text(
        "#!/bin/sh\n"
        "grep -no 'return [^;]*' $1 | sed \"s,\\([0-9]*\\):,$PWD/$1:\\1:9: warning: ,\"\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    report = check(store, project, tarball)
    assert report.complaints == [Complaint("two", "sparse", "mm/feature.c: return 2")]


def test_what_a_tree_is_moved_to_is_newer_than_what_was_made_before(tmp_path: Path) -> None:
    """Else make would take an object for compiled from a source that came after it."""
    before, after = tmp_path / "before", tmp_path / "after"
    for _ in range(20):
        before.touch()
        await_tick(tmp_path)
        after.touch()
        assert before.stat().st_mtime_ns < after.stat().st_mtime_ns
    assert not list(tmp_path.glob(".tick-*"))
