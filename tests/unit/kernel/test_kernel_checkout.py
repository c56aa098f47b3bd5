# SPDX-License-Identifier: Apache-2.0
"""The loop of a patch author: check out, edit, build, export; and what can go wrong in it."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest
from conftest import Recorder, sh, write_series
from test_kernel_build import Builder, snapshot

from driver.errors import UserError
from driver.kernel import checkout as checkouts
from driver.kernel import clone
from driver.kernel.checkout import Checkout
from driver.kernel.export import Exported, export
from driver.kernel.series import default_series, load
from driver.kernel.sources.spec import obtain
from driver.project import Project
from driver.results.guest_record import KernelProvenance
from driver.store import Store

FEATURE = "0001-feature-count-to-two.patch"
MEMORY = "0002-mm-leave-no-pages.patch"


class Author:
    """Someone with a project, a cache and a tree in which to work."""

    def __init__(self, store: Store, project: Project, tarball: str, folder: Path) -> None:
        self.store, self.project, self.tarball, self.folder = store, project, tarball, folder

    def check_out(self, series: str = "two") -> Checkout:
        source = obtain(self.store, self.tarball, "6.12", Recorder())
        return clone.make(
            self.store, self.project, series=load(self.project, series), source=source,
            folder=self.folder, reporter=Recorder(),
        )  # fmt: skip

    def edit(self, old: str, new: str, name: str = "mm/memory.c") -> None:
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def commit(self, message: str) -> None:
        sh(f"git commit -qsam '{message}'", self.folder)

    def export(self, name: str | None = None) -> Exported:
        found = checkouts.find(self.folder)
        assert found is not None
        return export(self.project, found, name)


@pytest.fixture
def author(store: Store, project: Project, tarball: str, tmp_path: Path) -> Author:
    return Author(store, project, tarball, tmp_path / "work")


class TestCheckout:
    def test_is_the_series_as_commits_on_the_base(self, author: Author) -> None:
        author.check_out()
        log = sh("git log --format='%an: %s' base..", author.folder).splitlines()
        assert log == ["A U Thor: mm: leave no pages", "A U Thor: feature: count to two"]
        assert sh("git branch --show-current", author.folder) == "two"
        assert sh("git status --porcelain", author.folder) == ""
        assert sh("git remote", author.folder) == ""

    def test_survives_the_cache(self, author: Author, store: Store) -> None:
        author.check_out()
        shutil.rmtree(store.root)
        assert sh("git fsck --connectivity-only", author.folder) == ""
        assert len(sh("git log --oneline base..", author.folder).splitlines()) == 2

    def test_without_a_series_there_is_only_the_base(self, author: Author) -> None:
        author.check_out("none")
        assert sh("git log --oneline base..", author.folder) == ""
        assert sh("git branch --show-current", author.folder) == "work"

    def test_work_is_never_overwritten(self, author: Author) -> None:
        author.folder.mkdir()
        (author.folder / "thesis.txt").touch()
        with pytest.raises(UserError, match="exists and is not an empty directory"):
            author.check_out()
        assert [path.name for path in author.folder.iterdir()] == ["thesis.txt"]

    def test_appears_complete_or_not_at_all(self, author: Author) -> None:
        patch = author.project.patches / "two/6.12" / MEMORY
        patch.write_text(patch.read_text().replace("-\tpages = 0;", "-\tpages = 7;"))
        with pytest.raises(UserError, match="does not apply"):
            author.check_out()
        assert not list(author.folder.parent.glob("*work*"))

    def test_is_known_from_inside_and_only_there(self, author: Author, repository: Path) -> None:
        author.check_out()
        found = checkouts.enclosing(author.folder / "mm")
        assert found is not None
        assert (found.tree, found.series) == (author.folder, "two")
        assert found.project == author.project.root
        assert checkouts.enclosing(repository) is None


class TestBuild:
    @pytest.fixture
    def build(self, author: Author) -> Builder:
        return Builder(author.store, author.project)

    def test_its_series_says_how_to_configure_it(self, author: Author, build: Builder) -> None:
        author.check_out()
        assert default_series(str(author.folder)) == "two"
        kernel = build(str(author.folder))
        assert kernel.release == "6.12.1-two"
        assert "CONFIG_FEATURE=y" in kernel.config.read_text()
        assert build.recorder.notes == []

    def test_compiles_only_what_was_edited(self, author: Author, build: Builder) -> None:
        build(author.tarball)
        author.check_out()
        build(str(author.folder))
        assert build.compiled == []
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        edited = build(str(author.folder))
        assert build.compiled == ["memory.o"]
        author.edit("2 << PAGE_SHIFT", "1 << PAGE_SHIFT")
        assert build(str(author.folder)).digest != edited.digest
        assert build.compiled == []  # this kernel is in the cache already

    def test_what_is_staged_or_new_is_built(self, author: Author, build: Builder) -> None:
        author.check_out()
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        sh("git add mm/memory.c", author.folder)
        (author.folder / "include/linux/new.h").write_text("#define NEW 3\n")
        author.edit("return pages;", "return pages + NEW;")
        author.edit("#include <linux/mm.h>", "#include <linux/mm.h>\n#include <linux/new.h>")
        kernel = build(str(author.folder))
        tree = next(author.store.scratch("kernel-tree").glob("*-checkout-*"))
        assert (tree / "mm/memory.c").read_text() == (author.folder / "mm/memory.c").read_text()
        origin = kernel.provenance["source"]["origin"]  # type: ignore[index]
        assert KernelProvenance.model_validate(kernel.provenance).model_dump() == kernel.provenance
        assert origin["uncommitted"] is True

    def seen(self, author: Author) -> dict[str, tuple[int, int]]:
        """All but git's objects, which are the cache's as well, under second names."""
        return {
            name: content
            for name, content in snapshot(author.folder).items()
            if "/objects" not in name
        }

    def test_the_tree_is_not_touched(self, author: Author, build: Builder) -> None:
        author.check_out()
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        before = self.seen(author)
        build(str(author.folder))
        assert self.seen(author) == before

    def test_a_build_in_place_is_in_nobodys_way(self, author: Author, build: Builder) -> None:
        author.check_out()
        (author.folder / ".config").write_text("CONFIG_NUMA=y\n")
        assert "CONFIG_NUMA" not in build(str(author.folder)).config.read_text()

    def test_an_edit_during_the_build_waits_for_the_next(
        self, author: Author, build: Builder
    ) -> None:
        author.check_out()
        late = f"@sed -i s/4096/8192/ {author.folder}/include/linux/mm.h; gzip"
        author.edit("@gzip", late, "Makefile")
        assert build(str(author.folder)).release == "6.12.1-two"

    def test_without_its_source_in_the_cache_it_is_built_where_it_is(
        self, author: Author, build: Builder
    ) -> None:
        author.check_out()
        shutil.rmtree(author.store.root)
        kernel = build(str(author.folder))
        assert kernel.provenance["source"]["origin"]["kind"] == "directory"  # type: ignore[index]

    def test_what_was_built_of_a_tree_goes_after_it(self, author: Author, build: Builder) -> None:
        author.check_out()
        build(str(author.folder))
        scratch = author.store.scratch()
        assert list(scratch.glob("*/*-checkout-*")) != []
        shutil.rmtree(author.folder)
        build(author.tarball)
        assert list(scratch.glob("*/*-checkout-*")) == []


class TestExport:
    def files(self, author: Author) -> dict[str, tuple[bytes, int]]:
        folder = author.project.patches / "two/6.12"
        return {
            str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
            for path in folder.rglob("*")
            if path.is_file()
        }

    def test_twice_changes_nothing(self, author: Author) -> None:
        author.check_out()
        author.export()  # the fixture's patches have commit ids and a version of git
        first = self.files(author)
        done = author.export()
        assert self.files(author) == first
        assert (done.written, done.removed) == ((), ())
        assert done.unchanged == (FEATURE, MEMORY)

    def test_the_same_commits_give_the_same_bytes_elsewhere(
        self, author: Author, tmp_path: Path
    ) -> None:
        author.check_out()
        author.export()
        first = {name: content for name, (content, _) in self.files(author).items()}
        other = Author(Store(tmp_path / "c2"), author.project, author.tarball, tmp_path / "w2")
        other.check_out()
        sh("git config diff.noprefix true && git config format.signature Me", other.folder)
        sh("git config core.abbrev 20 && git config diff.algorithm patience", other.folder)
        done = other.export()
        assert done.written == ()
        assert {name: content for name, (content, _) in self.files(author).items()} == first

    def test_holds_nothing_that_moves(self, author: Author) -> None:
        author.check_out()
        author.export()
        text = (author.project.patches / "two/6.12" / FEATURE).read_text()
        assert text.startswith(f"From {'0' * 40} Mon Sep 17 00:00:00 2001\n")
        assert "Subject: [PATCH] feature: count to two\n" in text
        assert re.search(r"^index [0-9a-f]{9}\.\.[0-9a-f]{9} 100644$", text, re.M)
        assert not re.search(r"^-- $", text, re.M)

    def test_a_new_commit_is_a_new_patch(self, author: Author) -> None:
        author.check_out()
        author.export()
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        author.commit("mm: more pages")
        done = author.export()
        assert done.written == ("0003-mm-more-pages.patch", "series.toml")
        assert done.unchanged == (FEATURE, MEMORY)
        assert [patch.name for patch in load(author.project, "two").patches] == [
            FEATURE, MEMORY, "0003-mm-more-pages.patch",
        ]  # fmt: skip

    def test_a_commit_that_went_takes_its_patch_along(self, author: Author) -> None:
        author.check_out()
        author.export()
        sh("git reset -q --hard HEAD~1", author.folder)
        assert author.export().removed == (MEMORY,)
        assert [patch.name for patch in load(author.project, "two").patches] == [FEATURE]

    def test_what_a_person_wrote_stays(self, author: Author) -> None:
        folder = author.project.patches / "two/6.12"
        text = (
            f"# Mine.\nname = 'two'\nbase = '6.12'\npatches = ['{FEATURE}', # first\n '{MEMORY}']\n"
            "kconfig = ['feature.config'] # and why\n"
        )
        (folder / "series.toml").write_text(text)
        (folder / "0000-cover-letter.md").write_text("# What it is for\n")
        author.check_out()
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        author.commit("mm: more pages")
        author.export()
        new = (folder / "series.toml").read_text()
        assert new.startswith("# Mine.\nname = 'two'\n")
        assert new.endswith("kconfig = ['feature.config'] # and why\n")
        assert len(tomllib.loads(new)["patches"]) == 3
        assert (folder / "0000-cover-letter.md").read_text() == "# What it is for\n"

    def test_a_new_series_gets_a_folder(self, author: Author) -> None:
        author.check_out("none")
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        author.commit('mm: "more" pages')
        with pytest.raises(UserError, match="has no series yet"):
            author.export()
        author.export("more-pages")
        series = load(author.project, "more-pages")
        assert (series.title, series.base, len(series.patches)) == ("more-pages", "6.12", 1)
        assert default_series(str(author.folder)) == "more-pages"
        assert author.export().written == ()

    def test_a_series_gets_a_folder_for_another_base(self, author: Author) -> None:
        """A port: the series is there for an older kernel, and its name is kept."""
        (author.project.patches / "two/6.12").rename(author.project.patches / "two/6.9")
        author.check_out("none")
        author.edit("1 << PAGE_SHIFT", "2 << PAGE_SHIFT")
        author.commit("mm: more pages")
        done = author.export("two")
        assert done.folder == author.project.patches / "two/6.12"
        series = load(author.project, "two")
        assert (series.title, series.base, len(series.patches)) == ("two", "6.12", 1)
        assert len(load(author.project, "two", "6.9").patches) == 2

    def test_files_git_does_not_know_are_named(self, author: Author) -> None:
        author.check_out()
        (author.folder / "mm/forgotten.c").touch()
        assert author.export().untracked == ("mm/forgotten.c",)

    @pytest.mark.parametrize(
        ("spoil", "message"),
        [
            ("echo >> mm/memory.c", "has changes that are in no commit"),
            ("git reset -q --hard base", "nothing to export"),
            ("git checkout -q --orphan o && git commit -qm o", "is not an ancestor of HEAD"),
            (
                "git checkout -qb side HEAD~1 && git commit -q --allow-empty -m s "
                "&& git merge -q two",
                "has 1 merge since `base`",
            ),
            ("git rebase -q -x false base || true", "a rebase or merge is under way"),
        ],
    )
    def test_what_would_be_lost_is_refused(self, author: Author, spoil: str, message: str) -> None:
        author.check_out()
        author.export()
        before = self.files(author)
        sh(spoil, author.folder)
        with pytest.raises(UserError, match=message) as caught:
            author.export()
        assert self.files(author) == before
        assert f": git -C {author.folder} " in str(caught.value.hint), "wherever it is typed"

    @pytest.mark.parametrize("wrong", ["patches = [", 'patchs = ["x.patch"]\n'])
    def test_a_broken_list_of_patches_is_named_with_its_line(
        self, author: Author, wrong: str
    ) -> None:
        author.check_out()
        listing = author.project.patches / "two/6.12/series.toml"
        listing.write_text(f'name = "two"\n{wrong}')
        with pytest.raises(UserError, match=r"series\.toml(:2:| is not valid TOML)"):
            author.export()
        assert listing.read_text() == f'name = "two"\n{wrong}'

    def test_a_byte_order_mark_does_not_stop_an_export(self, author: Author) -> None:
        author.check_out()
        author.export()
        listing = author.project.patches / "two/6.12/series.toml"
        listing.write_text("\ufeff" + listing.read_text(), encoding="utf-8")
        assert author.export().unchanged == (FEATURE, MEMORY)

    @pytest.mark.parametrize(
        ("name", "message"),
        [("Two Words", "cannot be the name"), ("../up", "cannot be the name"),
         ("other", "there is a series other for Linux 6.12 already")],
    )  # fmt: skip
    def test_names(self, author: Author, name: str, message: str) -> None:
        other = author.project.patches / "other/6.12"
        shutil.copytree(author.project.patches / "two/6.12", other)
        write_series(other, name="other")
        author.check_out()
        with pytest.raises(UserError, match=message):
            author.export(name)
