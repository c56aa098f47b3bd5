# SPDX-License-Identifier: Apache-2.0
"""Sources: known by content, fetched once, and one clear message for each that is not available."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest
from conftest import FAKE, Recorder, sh

from driver.errors import HostError, UserError
from driver.kernel.sources import spec as sources
from driver.kernel.sources.source import KernelSource
from driver.store import Store


def obtain(store: Store, spec: str | None, recorder: Recorder) -> KernelSource:
    return sources.obtain(store, spec, "6.12", recorder)


class TestTarball:
    def test_same_content_same_identity_in_any_cache(
        self, tmp_path: Path, tarball: str, recorder: Recorder
    ) -> None:
        one = obtain(Store(tmp_path / "one"), tarball, recorder)
        two = obtain(Store(tmp_path / "two"), tarball, recorder)
        assert one.identity == two.identity
        assert one.identity.startswith("tree:")
        assert one.version == "6.12.1"
        commits = [sh("git rev-parse HEAD", source.tree) for source in (one, two)]
        assert commits[0] == commits[1]
        assert (one.tree / ".gitignore").is_file()  # ignored files belong to the source too

    def test_second_time_needs_no_download(
        self, store: Store, tarball: str, recorder: Recorder
    ) -> None:
        first = obtain(store, tarball, recorder)
        Path(tarball.removeprefix("file://").partition("#")[0]).unlink()
        assert obtain(store, tarball, recorder) == first

    def test_other_content_than_promised(
        self, store: Store, tarball: str, recorder: Recorder
    ) -> None:
        lie = tarball.partition("#")[0] + "#sha256=" + "0" * 64
        with pytest.raises(UserError, match=r"has the SHA-256 digest [0-9a-f]{64}, not 0{64}"):
            obtain(store, lie, recorder)
        assert not list((store.root / "sources").glob("*/source.json"))

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("https://example.org/linux.tar.xz", "needs its digest"),
            ("https://example.org/linux.tar.xz#sha256=123", "needs its digest"),
            ("git://example.org/linux#sha256=" + "0" * 64, "no source can be fetched from `git:`"),
        ],
    )
    def test_malformed(self, store: Store, spec: str, message: str, recorder: Recorder) -> None:
        with pytest.raises(UserError, match=message):
            obtain(store, spec, recorder)

    def test_absent(self, store: Store, tmp_path: Path, recorder: Recorder) -> None:
        with pytest.raises(HostError, match=r"cannot fetch file:.*No such file"):
            obtain(store, f"file://{tmp_path}/no.tar#sha256={'0' * 64}", recorder)

    def test_something_else(self, store: Store, tmp_path: Path, recorder: Recorder) -> None:
        sh("mkdir poem && echo roses > poem/red && tar -czf poem.tgz poem", tmp_path)
        digest = sh("sha256sum poem.tgz", tmp_path).split()[0]
        with pytest.raises(UserError, match="is not a Linux source tree"):
            obtain(store, f"file://{tmp_path}/poem.tgz#sha256={digest}", recorder)


class TestUserTree:
    def test_clean_checkout_is_the_same_source_as_the_tarball(
        self, store: Store, tarball: str, repository: Path, recorder: Recorder
    ) -> None:
        mine = obtain(store, str(repository), recorder)
        assert mine.identity == obtain(store, tarball, recorder).identity
        assert not mine.pristine

    def test_every_kind_of_change_is_another_source(
        self, store: Store, repository: Path, recorder: Recorder
    ) -> None:
        seen = {obtain(store, str(repository), recorder).identity}
        memory = repository / "mm/memory.c"
        memory.write_text(memory.read_text() + "/* edited */\n")
        seen.add(obtain(store, str(repository), recorder).identity)
        (repository / "mm/new.c").write_text("int new;\n")
        seen.add(obtain(store, str(repository), recorder).identity)
        sh("git add mm/new.c && git commit -qam change", repository)
        committed = obtain(store, str(repository), recorder)
        seen.add(committed.identity)
        assert len(seen) == 4
        assert committed.origin["uncommitted"] is False

    def test_a_look_writes_nothing(
        self, store: Store, repository: Path, recorder: Recorder
    ) -> None:
        (repository / "mm/memory.c").touch()  # git would like to refresh its index now
        before = (repository / ".git/index").stat().st_mtime_ns
        obtain(store, str(repository), recorder)
        assert (repository / ".git/index").stat().st_mtime_ns == before

    def test_called_from_a_git_hook(
        self, store: Store, tarball: str, repository: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A hook runs with GIT_DIR set: that repository is neither read nor written."""
        bystander = repository.with_name("bystander")
        sh(f"git init -q {bystander}", repository)
        expected = obtain(store, str(repository), Recorder()).identity
        monkeypatch.setenv("GIT_DIR", str(bystander / ".git"))
        assert obtain(store, str(repository), Recorder()).identity == expected
        obtain(store, tarball, Recorder())
        monkeypatch.delenv("GIT_DIR")
        assert sh("git count-objects", bystander).startswith("0 objects")

    def test_plain_directory(self, store: Store, tree: Path, recorder: Recorder) -> None:
        first = obtain(store, str(tree), recorder)
        assert first.identity.startswith("files:")
        (tree / "mm/memory.c").write_text("int other;\n")
        assert obtain(store, str(tree), recorder).identity != first.identity

    def test_built_in_place(self, store: Store, tree: Path, recorder: Recorder) -> None:
        (tree / ".config").touch()
        with pytest.raises(UserError, match="built in place") as caught:
            obtain(store, str(tree), recorder)
        assert f"make -C {tree} mrproper" in str(caught.value.hint)

    def test_absent(self, store: Store, tmp_path: Path, recorder: Recorder) -> None:
        with pytest.raises(UserError, match="does not exist"):
            obtain(store, str(tmp_path / "nowhere"), recorder)

    def test_something_else(self, store: Store, tmp_path: Path, recorder: Recorder) -> None:
        with pytest.raises(UserError, match="is not a Linux source tree"):
            obtain(store, str(tmp_path), recorder)


def test_fake_tree_scripts_are_executable() -> None:
    """A checkout that lost the mode bits would fail everything else with a riddle."""
    for script in (FAKE / "scripts/kconfig").iterdir():
        assert script.stat().st_mode & stat.S_IXUSR
    assert shutil.which("make")
