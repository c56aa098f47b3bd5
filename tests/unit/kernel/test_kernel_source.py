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
        with pytest.raises(UserError, match=r"has sha256 [0-9a-f]{64}, not 0{64}"):
            obtain(store, lie, recorder)
        assert not list((store.root / "sources").glob("*/source.json"))

    @pytest.mark.parametrize(
        ("spec", "message"),
        [
            ("https://example.org/linux.tar.xz", "needs its digest"),
            ("https://example.org/linux.tar.xz#sha256=123", "needs its digest"),
            ("git://example.org/linux#sha256=" + "0" * 64, "cannot fetch a source from `git:`"),
        ],
    )
    def test_malformed(self, store: Store, spec: str, message: str, recorder: Recorder) -> None:
        with pytest.raises(UserError, match=message):
            obtain(store, spec, recorder)

    def test_absent(self, store: Store, tmp_path: Path, recorder: Recorder) -> None:
        with pytest.raises(HostError, match=r"could not fetch file:.*No such file"):
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


class TestDebian:
    """With an apt that behaves: it lists versions, and builds the package it is asked for."""

    @pytest.fixture(autouse=True)
    def apt(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        home = tmp_path / "apt"
        package = home / "package"
        (package / "DEBIAN").mkdir(parents=True)
        (package / "usr/src").mkdir(parents=True)
        sh(f"tar -cf {package}/usr/src/linux-source-6.12.tar.xz fake-kernel", FAKE.parent)
        (home / "versions").write_text("6.12.99-1\n6.12.117-1~deb12u1\n6.12.117-1~deb12u2\n")
        scripts = {
            "apt-cache": f"""
                while read version; do
                  echo "$2 | $version | http://deb.example.org main amd64 Packages"
                done < {home}/versions
                echo called >> {home}/calls""",
            "apt-get": f"""
                if [ -e {home}/offline ]; then
                  echo "E: Failed to fetch $2: Could not resolve 'deb.example.org'" >&2; exit 100
                fi
                version=${{2#*=}}
                grep -qx "$version" {home}/versions || {{
                  echo "E: Version '$version' for 'linux-source-6.12' was not found" >&2; exit 100
                }}
                printf 'Package: linux-source-6.12\\nVersion: %s\\nArchitecture: all\\n' \\
                  "$version" > {package}/DEBIAN/control
                printf 'Maintainer: x <x@example.org>\\nDescription: x\\n' \\
                  >> {package}/DEBIAN/control
                dpkg-deb -b -Znone {package} . > /dev/null""",
        }
        binaries = home / "bin"
        binaries.mkdir()
        for name, body in scripts.items():
            (binaries / name).write_text(f"#!/bin/sh\n{body}\n")
            (binaries / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{binaries}:/usr/bin:/bin")
        monkeypatch.setattr("driver.kernel.sources.package._APT_STATE", (str(home / "versions"),))
        return home

    def test_newest_is_fetched_once(self, store: Store, apt: Path, recorder: Recorder) -> None:
        source = obtain(store, None, recorder)
        assert source.label == "linux-source-6.12 6.12.117-1~deb12u2"
        assert source.origin["kind"] == "debian"
        (apt / "offline").touch()
        again = Recorder()
        assert obtain(store, None, again) == source
        assert (again.steps, again.notes) == ([], [])
        assert (apt / "calls").read_text() == "called\n"  # the index did not change in between

    def test_package_and_tarball_agree(
        self, store: Store, tarball: str, recorder: Recorder
    ) -> None:
        package = obtain(store, None, recorder)
        assert package.identity == obtain(store, tarball, recorder).identity

    def test_a_version_can_be_named(self, store: Store, recorder: Recorder) -> None:
        source = obtain(store, "debian:6.12=6.12.99-1", recorder)
        assert source.label == "linux-source-6.12 6.12.99-1"

    def test_offline_the_cache_serves_and_says_so(
        self, store: Store, apt: Path, recorder: Recorder
    ) -> None:
        old = obtain(store, None, recorder)
        (apt / "versions").write_text("6.12.118-1\n6.12.117-1~deb12u2\n")
        (apt / "offline").touch()
        assert obtain(store, None, recorder) == old
        (note,) = recorder.notes
        assert "could not fetch linux-source-6.12 6.12.118-1" in note
        assert "Could not resolve 'deb.example.org'" in note
        assert "using linux-source-6.12 6.12.117-1~deb12u2 from the cache" in note

    def test_offline_with_an_empty_cache(self, store: Store, apt: Path, recorder: Recorder) -> None:
        (apt / "offline").touch()
        with pytest.raises(HostError, match="Could not resolve") as caught:
            obtain(store, None, recorder)
        assert "--source DIR" in str(caught.value.hint)

    def test_apt_does_not_know_it(self, store: Store, apt: Path, recorder: Recorder) -> None:
        (apt / "versions").write_text("")
        with pytest.raises(UserError, match=r"does not know the package linux-source-6\.12") as one:
            obtain(store, None, recorder)
        assert "sudo apt-get update" in str(one.value.hint)
        with pytest.raises(UserError, match=r"does not know linux-source-6\.12 6\.12\.1-1"):
            obtain(store, "debian:6.12=6.12.1-1", recorder)

    def test_a_base_that_is_none(self, store: Store, recorder: Recorder) -> None:
        with pytest.raises(UserError, match="`six` is not a kernel base version"):
            obtain(store, "debian:six", recorder)


def test_fake_tree_scripts_are_executable() -> None:
    """A checkout that lost the mode bits would fail everything else with a riddle."""
    for script in (FAKE / "scripts/kconfig").iterdir():
        assert script.stat().st_mode & stat.S_IXUSR
    assert shutil.which("make")
