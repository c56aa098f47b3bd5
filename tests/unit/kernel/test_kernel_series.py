# SPDX-License-Identifier: Apache-2.0
"""Series: what a person can get wrong in series.toml, and patches that meet another source."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Recorder, sh, write_series

from driver.errors import UserError
from driver.kernel import worktree
from driver.kernel.git_am import explain_rejection
from driver.kernel.series import bases, default_series, fitting, load, names
from driver.kernel.sources.source import KernelSource
from driver.kernel.sources.spec import obtain
from driver.kernel.worktree import WorkTree
from driver.project import Project
from driver.store import Store

FEATURE = "0001-feature-count-to-two.patch"
MEMORY = "0002-mm-leave-no-pages.patch"


@pytest.fixture
def folder(project: Project) -> Path:
    return project.patches / "two/6.12"


@pytest.fixture
def source(store: Store, tarball: str) -> KernelSource:
    return obtain(store, tarball, "6.12", Recorder())


def apply(store: Store, source: KernelSource, project: Project) -> WorkTree:
    series, reporter = load(project, "two"), Recorder()
    commit = worktree.apply(store, source, series, reporter)
    return worktree.prepare(store, source, series, commit, reporter)


class TestFile:
    def test_reads_what_is_there(self, project: Project) -> None:
        series = load(project, "two")
        assert [patch.name for patch in series.patches] == [FEATURE, MEMORY]
        assert [request.symbol for request in series.fragments[0].requests()] == ["FEATURE"]

    def test_unknown_series_lists_the_known(self, project: Project) -> None:
        with pytest.raises(UserError, match="there is no series `tow`") as caught:
            load(project, "tow")
        assert caught.value.hint == "Did you mean 'two'? Known: two, none."

    def test_a_base_is_not_a_series(self, project: Project) -> None:
        """What series were called before they had a folder for each base."""
        with pytest.raises(UserError, match=r"6\.12 is a base, not a series") as caught:
            load(project, "6.12")
        assert caught.value.hint == "Write --base 6.12, and with --series one of: two, none."

    @pytest.mark.parametrize(
        ("changes", "message", "hint"),
        [
            ({"patchs": []}, "patchs: unknown key 'patchs'", None),
            ({"base": "6.13"}, "says base 6.13, but is in a folder for 6.12", None),
            ({"base": "six"}, "base: 'six' is not a version of Linux such as 6.12", None),
            ({"name": "Two Words"}, "name: 'Two Words' is not a name: at most 32 lower-case", None),
            ({"patches": []}, "patches: it should have at least 1 item, not 0", None),
            (
                {"patches": [FEATURE, "../x.patch"]},
                "patches.1: '../x.patch' is not a file below this folder",
                None,
            ),
            ({"patches": [FEATURE, MEMORY, FEATURE]}, f"lists {FEATURE} twice", None),
            ({"patches": [FEATURE]}, f"does not list {MEMORY}", None),
            (
                {"patches": [FEATURE, MEMORY.replace("no", "nor")]},
                "lists 0002-mm-leave-nor-pages.patch, which is not in",
                f"Did you mean {MEMORY!r}?",
            ),
            ({"kconfig": ["absent.config"]}, "lists absent.config, which is not in", None),
        ],
    )
    def test_mistakes(
        self,
        project: Project,
        folder: Path,
        changes: dict[str, object],
        message: str,
        hint: str | None,
    ) -> None:
        write_series(folder, **changes)
        with pytest.raises(UserError, match=re.escape(message)) as caught:
            load(project, "two")
        assert hint is None or caught.value.hint == hint

    def test_fragments_may_have_a_folder_of_their_own(self, project: Project, folder: Path) -> None:
        (folder / "kconfig").mkdir()
        (folder / "feature.config").rename(folder / "kconfig/feature.config")
        write_series(folder, kconfig=["kconfig/feature.config"])
        assert load(project, "two").fragments[0].name == "feature.config"

    def test_broken_toml(self, project: Project, folder: Path) -> None:
        (folder / "series.toml").write_text('name = "two\n')
        with pytest.raises(UserError, match=r"series\.toml is not valid TOML: .*line 1"):
            load(project, "two")

    def test_cover_letter_is_no_patch(self, project: Project, folder: Path) -> None:
        (folder / "0000-cover-letter.patch").write_text("Subject: [PATCH 0/2] two\n")
        assert len(load(project, "two").patches) == 2

    @pytest.mark.parametrize(
        ("base", "accepted"),
        [(None, True), ("6.12", True), ("6.12.1", True), ("6.12.10", False)],
    )
    def test_base_version(
        self, project: Project, folder: Path, source: KernelSource, base: str | None, accepted: bool
    ) -> None:
        write_series(folder, base=base)
        series = load(project, "two")
        if accepted:
            series.check_base(source)
        else:
            with pytest.raises(UserError, match=rf"is for Linux {base}; .* is 6\.12\.1$"):
                series.check_base(source)

    def test_default_depends_on_whose_tree_it_is(self) -> None:
        assert default_series(None) == "default"
        assert default_series("https://example.org/x.tar#sha256=0") == "default"
        assert default_series("../linux") == "none"


class TestBases:
    """A series that exists for two bases, and one that exists for one."""

    @pytest.fixture(autouse=True)
    def more(self, project: Project, folder: Path) -> None:
        for name in ("two/6.9", "two/7.3", "other/6.12"):
            shutil.copytree(folder, project.patches / name)

    def test_the_newest_is_the_default(self, project: Project) -> None:
        assert bases(project, "two") == ["6.9", "6.12", "7.3"]
        assert load(project, "two").base == "7.3"
        assert load(project, "other").base == "6.12"
        assert load(project, "none").base == "7.3"

    def test_one_can_be_chosen(self, project: Project) -> None:
        series = load(project, "two", "6.12")
        assert (series.base, series.folder) == ("6.12", project.patches / "two/6.12")
        assert load(project, "none", "6.1").base == "6.1"

    def test_one_that_does_not_exist(self, project: Project) -> None:
        with pytest.raises(UserError, match=r"two does not exist for Linux 6\.18") as caught:
            load(project, "two", "6.18")
        assert "It exists for 6.9, 6.12, 7.3." in str(caught.value.hint)

    def test_the_default_series_is_a_link(self, project: Project) -> None:
        assert load(project, "default").name == "two"
        assert names(project) == ["other", "two"]
        (project.patches / "default").unlink()
        with pytest.raises(UserError, match="no series was named") as caught:
            load(project, "default")
        assert "--series: other, two, none." in str(caught.value.hint)

    def test_a_project_without_series(self, project: Project) -> None:
        shutil.rmtree(project.patches)
        project.patches.mkdir()
        assert load(project, "none").base == "6.12"

    def test_a_source_chooses(self, project: Project, source: KernelSource) -> None:
        named = load(project, "two")
        assert fitting(project, named, source).base == "6.12"
        shutil.rmtree(project.patches / "two/6.12")
        with pytest.raises(UserError, match=r"does not exist for Linux 6\.12"):
            fitting(project, named, source)
        own = replace(source, pristine=False)
        assert fitting(project, named, own).base == "7.3", "its configuration is all it is for"


class TestApply:
    def test_applies_in_order_and_leaves_the_pristine_tree_alone(
        self, store: Store, source: KernelSource, project: Project
    ) -> None:
        tree = apply(store, source, project)
        assert "return 2;" in (tree.path / "mm/feature.c").read_text()
        assert "pages = -1;" in (tree.path / "mm/memory.c").read_text()
        assert "return 1;" in (source.tree / "mm/feature.c").read_text()
        assert sh("git log --format='%an|%s' -2", tree.path).splitlines() == [
            "A U Thor|mm: leave no pages",
            "A U Thor|feature: count to two",
        ]

    def test_commit_ids_depend_on_nothing_but_the_patches(
        self, tmp_path: Path, tarball: str, project: Project
    ) -> None:
        commits = set()
        for name in ("one", "two"):
            store = Store(tmp_path / name)
            source = obtain(store, tarball, "6.12", Recorder())
            commits.add(apply(store, source, project).commit)
        assert len(commits) == 1

    def test_editing_one_patch_touches_only_what_differs(
        self, store: Store, source: KernelSource, project: Project, folder: Path
    ) -> None:
        tree = apply(store, source, project).path
        files = [path for path in tree.rglob("*") if path.is_file() and path.name != ".git"]
        before = {path: path.stat().st_mtime_ns for path in files}
        patch = folder / MEMORY
        patch.write_text(patch.read_text().replace("pages = -1;", "pages = -2;"))
        assert apply(store, source, project).path == tree
        touched = [path.name for path in files if path.stat().st_mtime_ns != before[path]]
        assert touched == ["memory.c"]

    def test_a_tampered_cache_is_put_right(
        self, store: Store, source: KernelSource, project: Project
    ) -> None:
        tree = apply(store, source, project).path
        (tree / "mm/memory.c").write_text("int tampered;\n")
        (tree / "mm/stray.c").write_text("int stray;\n")
        apply(store, source, project)
        assert "pages = -1;" in (tree / "mm/memory.c").read_text()
        assert not (tree / "mm/stray.c").exists()

    def test_a_moved_cache_is_put_right(
        self, tmp_path: Path, store: Store, source: KernelSource, project: Project, tarball: str
    ) -> None:
        apply(store, source, project)
        store.root.rename(tmp_path / "moved")
        moved = Store(tmp_path / "moved")
        tree = apply(moved, obtain(moved, tarball, "6.12", Recorder()), project)
        assert "return 2;" in (tree.path / "mm/feature.c").read_text()

    def test_conflict_names_patch_file_and_hunk(
        self, store: Store, source: KernelSource, project: Project, folder: Path
    ) -> None:
        good = apply(store, source, project)
        patch = folder / MEMORY
        patch.write_text(patch.read_text().replace("-\tpages = 0;", "-\tpages = 7;"))
        with pytest.raises(UserError) as caught:
            apply(store, source, project)
        assert caught.value.message == (
            f"{MEMORY} of series two does not apply to linux-6.12.1.tar: "
            "mm/memory.c, hunk 1 (line 11)"
        )
        assert "-\tpages = 7;" in str(caught.value.excerpt)
        assert "--series none" in str(caught.value.hint)
        # Nothing moved: the tree is what the last good series made of it.
        assert sh("git rev-parse HEAD", good.path) == good.commit
        assert not list(source.tree.parent.glob("am-*"))
        assert len(sh("git worktree list", source.tree).splitlines()) == 2

    def test_file_that_is_not_there(
        self, store: Store, source: KernelSource, project: Project, folder: Path
    ) -> None:
        patch = folder / MEMORY
        patch.write_text(patch.read_text().replace("mm/memory.c", "mm/moved.c"))
        with pytest.raises(UserError, match=r"mm/moved\.c: does not exist in index"):
            apply(store, source, project)

    def test_not_a_mail(
        self, store: Store, source: KernelSource, project: Project, folder: Path
    ) -> None:
        (folder / FEATURE).write_text("just some words\n")
        with pytest.raises(UserError, match=f"{FEATURE} of series two does not apply") as caught:
            apply(store, source, project)
        assert "format" in str(caught.value.excerpt)


class TestRejection:
    PATCH = """\
diff --git a/mm/a.c b/mm/a.c
--- a/mm/a.c
+++ b/mm/a.c
@@ -1,2 +1,2 @@
-- dashes
+one
@@ -10,2 +10,2 @@ int f(void)
-two
+three
diff --git a/mm/b.c b/mm/b.c
--- a/mm/b.c
+++ b/mm/b.c
@@ -10,1 +10,1 @@
-four
+five
-- \n2.39.5
"""

    def test_second_hunk_of_the_second_mentioned_file(self) -> None:
        output = "error: patch failed: mm/a.c:10\nerror: mm/a.c: patch does not apply\n"
        rejection = explain_rejection(self.PATCH, output)
        assert rejection.summary == "mm/a.c, hunk 2 (line 10)"
        assert rejection.excerpt == "@@ -10,2 +10,2 @@ int f(void)\n-two\n+three"

    def test_several_files(self) -> None:
        output = "error: patch failed: mm/b.c:10\nerror: patch failed: mm/a.c:1\n"
        rejection = explain_rejection(self.PATCH, output)
        assert rejection.summary == "mm/b.c, hunk 1 (line 10); also mm/a.c"
        assert rejection.excerpt == "@@ -10,1 +10,1 @@\n-four\n+five"
