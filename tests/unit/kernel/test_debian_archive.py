# SPDX-License-Identifier: Apache-2.0
"""Kernel packages of a small Debian mirror: real apt, real signatures, several suites."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, cast

import pytest
from conftest import FAKE, Recorder, sh
from helpers.command_line import status_of

from driver import apt
from driver.errors import HostError, UserError
from driver.image import builder
from driver.kernel import kconfig_fragment
from driver.kernel.sources import archive, mirror, package
from driver.kernel.sources.source import KernelSource
from driver.kernel.sources.spec import check, obtain
from driver.process import CommandFailed, quote
from driver.project import Project
from driver.store import Store

SUITES = {
    "debian": ("bookworm", "trixie", "trixie-backports", "experimental"),
    "debian-security": ("bookworm-security",),
}
# What each suite carries: by their archive's order, as strings they sort otherwise.
CARRIED = {
    "bookworm-security": ["6.12.99-1~deb12u1", "6.12.117-1~deb12u1"],
    "trixie": ["6.12.117-1"],
    "trixie-backports": ["7.3.4-1~bpo13+1"],
    "experimental": ["7.3~rc7-1~exp1"],
}


pytestmark = pytest.mark.skipif(
    shutil.which("gpg") is None, reason="gnupg, which signs the mirror, is not installed"
)

KEY = " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mDMEY\n -----END PGP PUBLIC KEY BLOCK-----"


@dataclass(frozen=True)
class Archive:
    """A mirror on disk, and the key that signs it."""

    root: Path
    gnupg: Path

    def publish(self, carried: Mapping[str, list[str]], *, valid_until: str = "") -> None:
        for area, suites in SUITES.items():
            for suite in suites:
                self.suite(area, suite, carried.get(suite, []), valid_until=valid_until)

    def suite(self, area: str, suite: str, versions: list[str], *, valid_until: str = "") -> None:
        stanzas = []
        for version in versions:
            deb = self.package(area, version)
            content = deb.read_bytes()
            stanzas.append(
                f"Package: linux-source-{base_of(version)}\nVersion: {version}\n"
                "Architecture: all\nMaintainer: x <x@example.org>\nDescription: x\n"
                f"Filename: {deb.relative_to(self.root / area)}\nSize: {len(content)}\n"
                f"SHA256: {hashlib.sha256(content).hexdigest()}\n"
            )
        folder = self.root / area / "dists" / suite
        index = folder / "main/binary-amd64/Packages.gz"
        index.parent.mkdir(parents=True, exist_ok=True)
        plain = "\n".join(stanzas).encode()
        index.write_bytes(gzip.compress(plain, mtime=0))
        sums = "".join(
            f" {hashlib.sha256(content).hexdigest()} {len(content)} main/binary-amd64/{name}\n"
            for name, content in {"Packages": plain, "Packages.gz": index.read_bytes()}.items()
        )
        release = (
            f"Origin: Debian\nLabel: Debian\nSuite: {suite}\nCodename: {suite}\n"
            "Date: Mon, 01 Jan 2024 00:00:00 UTC\n"
            "Architectures: amd64\nComponents: main\n"
            f"NotAutomatic: {'yes' if suite == 'experimental' else 'no'}\n"
            f"Valid-Until: {valid_until or 'Thu, 01 Jan 2099 00:00:00 UTC'}\nSHA256:\n{sums}"
        )
        (folder / "InRelease").unlink(missing_ok=True)
        subprocess.run(
            ["gpg", "--homedir", self.gnupg, "--batch", "--clearsign", "-o", folder / "InRelease"],
            input=release.encode(), check=True, capture_output=True,
        )  # fmt: skip

    def package(self, area: str, version: str) -> Path:
        """A package with the miniature of a kernel in it."""
        name = f"linux-source-{base_of(version)}"
        target = self.root / area / f"pool/{name}_{version}_all.deb"
        if not target.exists():
            built = self.root / "built"
            shutil.rmtree(built, ignore_errors=True)
            (built / "DEBIAN").mkdir(parents=True)
            (built / "usr/src").mkdir(parents=True)
            sh(f"tar -cf {built}/usr/src/{name}.tar.xz fake-kernel", FAKE.parent)
            (built / "DEBIAN/control").write_text(
                f"Package: {name}\nVersion: {version}\nArchitecture: all\n"
                "Maintainer: x <x@example.org>\nDescription: x\n"
            )
            target.parent.mkdir(parents=True, exist_ok=True)
            sh(f"dpkg-deb -b -Znone {built} {target}", built)
        return target


def base_of(version: str) -> str:
    return ".".join(version.replace("~", ".").split(".")[:2])


@pytest.fixture(scope="session")
def gnupg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("gnupg")
    home.chmod(0o700)
    key = "gpg --batch --passphrase '' --quick-gen-key archive@example.org ed25519 sign never"
    sh(f"GNUPGHOME={home} {key}", home)
    sh(f"GNUPGHOME={home} gpg --export -o {home}/archive.gpg", home)
    return home


@pytest.fixture
def host(tmp_path: Path, gnupg: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The sources.list of a machine that was installed from the mirror."""
    etc = tmp_path / "etc"
    (etc / "sources.list.d").mkdir(parents=True)
    (etc / "lists/partial").mkdir(parents=True)
    (etc / "apt.conf").write_text(
        f'Dir::Etc::sourcelist "{etc}/sources.list"; Dir::Etc::sourceparts "{etc}/sources.list.d"; '
        f'Dir::State::lists "{etc}/lists"; APT::Architecture "amd64";'
    )
    monkeypatch.setenv("APT_CONFIG", str(etc / "apt.conf"))
    signed = f"[signed-by={gnupg}/archive.gpg]"
    (etc / "sources.list").write_text(
        f"# from the installer\ndeb {signed} file://{tmp_path}/mirror/debian bookworm main\n"
        f"deb {signed} file://{tmp_path}/mirror/debian-security bookworm-security main\n"
    )
    return etc


@pytest.fixture
def debian(tmp_path: Path, gnupg: Path, host: Path, monkeypatch: pytest.MonkeyPatch) -> Archive:
    assert host.is_dir()
    monkeypatch.setattr(archive, "SUITES", SUITES)
    # A machine may be configured to take old indexes (containers are).
    monkeypatch.setattr(
        archive,
        "_CONFIG",
        f'{archive._CONFIG}Acquire::Check-Valid-Until "true";\nAcquire::Check-Date "true";\n',
    )
    made = Archive(tmp_path / "mirror", gnupg)
    made.publish(CARRIED)
    return made


def got(store: Store, spec: str, recorder: Recorder) -> KernelSource:
    return obtain(store, spec, "6.12", recorder)


@pytest.mark.usefixtures("debian")
class TestPackages:
    def test_the_newest_of_all_suites(self, store: Store, recorder: Recorder) -> None:
        """Not the host's own suite, which has an older one; and by dpkg's order."""
        source = got(store, "debian:6.12", recorder)
        assert source.label == "linux-source-6.12 6.12.117-1"
        assert source.origin == {
            "kind": "debian", "package": "linux-source-6.12", "version": "6.12.117-1",
            "suites": ["trixie"],
        }  # fmt: skip
        newest = got(store, "debian:7.3", recorder)
        assert newest.origin["suites"] == ["trixie-backports"]
        assert (source.tree / "mm/memory.c").is_file()

    def test_what_can_be_had(self, store: Store, recorder: Recorder) -> None:
        known = archive.catalogue(store, recorder)
        assert known.bases == ["6.12", "7.3"]
        assert [offer.version for offer in known.of("6.12")] == [
            "6.12.117-1", "6.12.117-1~deb12u1", "6.12.99-1~deb12u1",
        ]  # fmt: skip
        assert archive.recorded(store) == known

    def test_nothing_of_the_machine_changes(
        self, store: Store, host: Path, recorder: Recorder
    ) -> None:
        def state() -> dict[Path, int]:
            return {path: path.stat().st_mtime_ns for path in host.rglob("*")}

        before = state()
        got(store, "debian:6.12", recorder)
        assert state() == before

    def test_is_fetched_once(self, store: Store, debian: Archive, recorder: Recorder) -> None:
        source = got(store, "debian:6.12", recorder)
        shutil.rmtree(debian.root)
        again = Recorder()
        assert got(store, "debian:6.12", again) == source
        assert (again.steps, again.notes) == ([], [])

    def test_a_version_can_be_named(self, store: Store, recorder: Recorder) -> None:
        source = got(store, "debian:6.12=6.12.99-1~deb12u1", recorder)
        assert source.label == "linux-source-6.12 6.12.99-1~deb12u1"

    def test_agrees_with_a_tarball(self, store: Store, tarball: str, recorder: Recorder) -> None:
        package_ = got(store, "debian:6.12", recorder)
        assert package_.identity == got(store, tarball, recorder).identity

    def test_offline_the_cache_serves_and_says_so(
        self, store: Store, debian: Archive, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = got(store, "debian:6.12", recorder)
        debian.publish({"trixie": ["6.12.118-1"]})
        archive.catalogue(store, recorder, refresh=True)
        shutil.rmtree(debian.root)
        offline = Recorder()
        assert got(store, "debian:6.12", offline) == source
        note = offline.notes[-1]
        assert note.startswith("cannot fetch linux-source-6.12 6.12.118-1; using")
        assert note.endswith("linux-source-6.12 6.12.117-1 from the cache")
        # A day later, the lists cannot be read either.
        monkeypatch.setattr(archive, "_FRESH_SECONDS", 0)
        monkeypatch.setattr(archive, "_RETRY_SECONDS", 0)
        assert got(store, "debian:6.12", Recorder()) == source

    def test_an_outage_is_no_answer(
        self, store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """apt exits with 0 where nobody listens, as if old lists would do."""
        real = mirror.mirror_of
        with monkeypatch.context() as unplugged:
            unplugged.setattr(
                archive,
                "mirror_of",
                lambda name: replace(
                    cast(mirror.Mirror, real(name)), uri="http://127.0.0.1:9/debian"
                ),
            )
            for _ in range(2):  # nor is it remembered
                with pytest.raises(HostError, match="cannot read the package lists"):
                    archive.catalogue(store, recorder)
        assert archive.catalogue(store, recorder).of("6.12")

    def test_a_release_that_was_replaced(
        self, store: Store, debian: Archive, recorder: Recorder
    ) -> None:
        """The lists are of this morning; what they name is gone, and its successor is there."""
        archive.catalogue(store, recorder)
        debian.publish({"trixie": ["6.12.118-1"]})
        shutil.rmtree(debian.root / "debian-security")
        debian.publish({"trixie": ["6.12.118-1"]})
        (debian.root / "debian/pool/linux-source-6.12_6.12.117-1_all.deb").unlink()
        assert got(store, "debian:6.12", recorder).label == "linux-source-6.12 6.12.118-1"


@pytest.mark.usefixtures("debian")
class TestBadInput:
    def test_a_base_that_nobody_carries(self, store: Store, recorder: Recorder) -> None:
        with pytest.raises(UserError, match=r"no Debian suite carries linux-source-6\.13") as one:
            got(store, "debian:6.13", recorder)
        assert str(one.value.hint).startswith("Bases that exist: 6.12, 7.3.")
        with pytest.raises(UserError, match=r"no Debian suite carries linux-source-6\.13"):
            check(store, "debian:6.13", "6.12")

    def test_a_version_that_nobody_carries(self, store: Store, recorder: Recorder) -> None:
        with pytest.raises(UserError, match=r"carries version 6\.12\.117-2 of") as two:
            got(store, "debian:6.12=6.12.117-2", recorder)
        assert "Did you mean '6.12.117-1'?" in str(two.value.hint)

    def test_no_base(self, store: Store, recorder: Recorder) -> None:
        with pytest.raises(UserError, match="is not a kernel base version"):
            got(store, "debian:six", recorder)

    def test_a_mirror_without_a_suite(
        self, store: Store, debian: Archive, recorder: Recorder
    ) -> None:
        shutil.rmtree(debian.root / "debian/dists/experimental")
        assert got(store, "debian:7.3", recorder).origin["version"] == "7.3.4-1~bpo13+1"
        (note,) = recorder.notes
        assert note.startswith("not all Debian suites could be read: ")
        assert "experimental" in note

    def test_a_mirror_without_any(self, store: Store, debian: Archive, recorder: Recorder) -> None:
        shutil.rmtree(debian.root)
        with pytest.raises(HostError, match="cannot read the package lists") as caught:
            got(store, "debian:6.12", recorder)
        assert "trixie-backports" in str(caught.value.excerpt)
        assert_nothing_half_made(store)

    def test_an_expired_index(self, store: Store, debian: Archive, recorder: Recorder) -> None:
        debian.publish(CARRIED, valid_until="Tue, 02 Jan 2024 00:00:00 UTC")
        with pytest.raises(HostError, match="cannot read the package lists") as caught:
            got(store, "debian:6.12", recorder)
        assert "expired" in str(caught.value.excerpt)
        assert_nothing_half_made(store)

    def test_an_unsigned_index(self, store: Store, debian: Archive, recorder: Recorder) -> None:
        take_signatures_away(debian)
        with pytest.raises(HostError, match="cannot read the package lists") as caught:
            got(store, "debian:6.12", recorder)
        assert "is not signed" in str(caught.value.excerpt)
        assert_nothing_half_made(store)

    def test_an_index_that_was_changed(
        self, store: Store, debian: Archive, recorder: Recorder
    ) -> None:
        for path in debian.root.glob("*/dists/*/InRelease"):
            path.write_text(path.read_text().replace("Label: Debian", "Label: Debiam"))
        with pytest.raises(HostError, match="cannot read the package lists"):
            got(store, "debian:6.12", recorder)

    def test_half_a_package(self, store: Store, debian: Archive, recorder: Recorder) -> None:
        deb = debian.root / "debian/pool/linux-source-6.12_6.12.117-1_all.deb"
        deb.write_bytes(deb.read_bytes()[: deb.stat().st_size // 2])
        with pytest.raises(HostError, match=r"cannot fetch linux-source-6\.12 6\.12\.117-1"):
            got(store, "debian:6.12", recorder)
        assert_nothing_half_made(store)

    def test_a_package_that_cannot_be_unpacked_is_not_blamed_on_the_network(
        self,
        store: Store,
        debian: Archive,  # noqa: ARG002
        recorder: Recorder,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def no_room(argv: Sequence[str | Path]) -> NoReturn:
            raise CommandFailed(quote(argv), 2, "tar: write error: No space left on device", None)

        monkeypatch.setattr("driver.kernel.sources.package.run", no_room)
        with pytest.raises(
            HostError, match=r"^cannot unpack linux-source-6\.12 .*`dpkg-deb"
        ) as one:
            got(store, "debian:6.12", recorder)
        assert "network" not in str(one.value.hint)
        assert "No space left" in str(one.value.excerpt)
        assert_nothing_half_made(store)

    def test_no_apt(
        self, store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", "/nonexistent")
        with pytest.raises(HostError, match="need apt") as caught:
            got(store, "debian:6.12", recorder)
        assert "--source DIR" in str(caught.value.hint)


def assert_nothing_half_made(store: Store) -> None:
    assert not list((store.root / "sources").glob("*"))
    assert not list((store.root / "tmp").glob("*"))


class TestMirror:
    def test_one_line_sources(self, host: Path, tmp_path: Path, gnupg: Path) -> None:
        assert host.is_dir()
        found = mirror.mirror_of("debian")
        assert found == mirror.Mirror(f"file:{tmp_path}/mirror/debian", f"{gnupg}/archive.gpg")
        security = mirror.mirror_of("debian-security")
        assert security is not None
        assert security.uri.endswith("/mirror/debian-security")

    def test_deb822_sources(self, host: Path) -> None:
        """With a key of their own, and another repository for the same suite."""
        (host / "sources.list").unlink()
        (host / "sources.list.d/debian.sources").write_text(
            "# Debian\nTypes: deb\nURIs: https://example.org/debian/\n# and one more suite\n"
            f"Suites: trixie trixie-updates\nComponents: main\nSigned-By:\n{KEY}\n\n"
            "Types: deb\nURIs: https://example.org/linux/debian\nSuites: trixie\n"
            "Components: stable\nSigned-By: /etc/other.gpg\n"
        )
        found = mirror.mirror_of("debian")
        assert found is not None
        assert found.uri == "https://example.org/debian"
        assert found.signed_by == KEY.strip()

    def test_a_machine_of_another_distribution(
        self, host: Path, store: Store, recorder: Recorder
    ) -> None:
        (host / "sources.list").write_text("deb http://example.org/ubuntu noble main\n")
        assert mirror.mirror_of("debian") is None
        with pytest.raises(HostError, match="name no mirror of Debian") as caught:
            archive.catalogue(store, recorder)
        assert "--source DIR" in str(caught.value.hint)
        assert_nothing_half_made(store)

    def test_a_machine_without_security_updates(
        self, debian: Archive, host: Path, store: Store, recorder: Recorder
    ) -> None:
        """What its sources name is read; the rest is left out."""
        assert (debian.root / "debian-security").is_dir()
        sources = host / "sources.list"
        kept = [line for line in sources.read_text().splitlines() if "-security" not in line]
        sources.write_text("\n".join(kept) + "\n")
        assert mirror.mirror_of("debian-security") is None
        found = archive.catalogue(store, recorder)
        assert found.offers
        assert not any("security" in suite for offer in found.offers for suite in offer.suites)


class TestOrder:
    """Debian policy 5.6.12: a tilde sorts before the end, digits are numbers."""

    @pytest.mark.parametrize(
        ("older", "newer"),
        [
            ("6.12.117-1~deb12u1", "6.12.117-1"),
            ("6.12.117-1~deb12u1", "6.12.117-1~deb12u2"),
            ("6.12.99-1", "6.12.117-1~deb12u1"),
            ("7.3~rc7-1~exp1", "7.3.4-1~bpo13+1"),
            ("6.12.117-1", "6.12.117-1+b1"),
        ],
    )
    def test_dpkg_compares(self, older: str, newer: str) -> None:
        assert apt.newest([older, newer]) == apt.newest([newer, older]) == newer

    def test_the_newest_in_the_cache(self, store: Store) -> None:
        for version in ("6.12.117-1~deb12u1", "6.12.117-1", "6.12.99-1"):
            home = store.root / f"sources/linux-source-6.12_{version}"
            (home / "linux/.git").mkdir(parents=True)
            (home / "source.json").write_text(
                f'{{"identity": "tree:0", "version": "6.12", "label": "{version}", "origin": {{}}}}'
            )
        found = package.newest_cached(store, "6.12")
        assert found is not None
        assert found.label == "6.12.117-1"


class TestPolicy:
    def test_of_this_host(self, host: Path) -> None:
        """An image asks the host's own apt; a package that nobody carries has no version."""
        assert host.is_dir()
        assert apt.versions_in("bookworm", ["no-such-package"]) == {"no-such-package": ""}

    @pytest.mark.usefixtures("debian")
    @pytest.mark.parametrize(
        ("suite", "version"),
        [("bookworm", "6.12.117-1~deb12u1"), ("trixie", "6.12.117-1"), ("forky", "")],
    )
    def test_a_suite_is_asked_whatever_the_host_is(
        self, store: Store, recorder: Recorder, suite: str, version: str
    ) -> None:
        """Also in its security updates, and not in its backports."""
        names = ["linux-source-6.12", "linux-source-7.3"]
        found = archive.versions(store, suite, names, recorder)
        assert found == {"linux-source-6.12": version, "linux-source-7.3": ""}

    @pytest.mark.usefixtures("debian")
    def test_an_image_of_another_release_is_known_by_its_own_versions(
        self, store: Store, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On a host that has no package list of the image's suite."""
        monkeypatch.setattr("driver.image.packages.state_digest", lambda: "0")
        found = builder._versions(store, "trixie", ["linux-source-6.12"], recorder)
        assert found == {"linux-source-6.12": "6.12.117-1"}

    @pytest.mark.usefixtures("debian")
    def test_versions_and_their_suites(self, store: Store, recorder: Recorder) -> None:
        archive.catalogue(store, recorder)
        config = store.root / "apt/apt.conf"
        found = apt.policies(["linux-source-7.3", "linux-source-6.9"], config=config)
        assert found["linux-source-7.3"] == apt.Policy(
            "7.3.4-1~bpo13+1",
            (("7.3.4-1~bpo13+1", ("trixie-backports",)), ("7.3~rc7-1~exp1", ("experimental",))),
        )
        assert found["linux-source-6.9"] == apt.Policy()


def expire(debian: Archive) -> None:
    debian.publish(CARRIED, valid_until="Tue, 02 Jan 2024 00:00:00 UTC")


def take_signatures_away(debian: Archive) -> None:
    for path in debian.root.glob("*/dists/*/InRelease"):
        lines = path.read_text().splitlines()
        start, end = lines.index(""), lines.index("-----BEGIN PGP SIGNATURE-----")
        path.with_name("Release").write_text("\n".join(lines[start + 1 : end]) + "\n")
        path.unlink()


def truncate_package(debian: Archive) -> None:
    deb = debian.root / "debian/pool/linux-source-7.3_7.3.4-1~bpo13+1_all.deb"
    deb.write_bytes(deb.read_bytes()[: deb.stat().st_size // 2])


def take_suites_away(debian: Archive) -> None:
    for suite in ("trixie-backports", "experimental"):
        shutil.rmtree(debian.root / "debian/dists" / suite)


def misspell_symbol(debian: Archive) -> None:
    with (kconfig_fragment.FOLDER / "machine.config").open("a") as fragment:
        fragment.write("CONFIG_FEATUER=y\n")


def leave_alone(debian: Archive) -> None:
    """Nothing is wrong but what is asked for."""


@dataclass(frozen=True)
class Failure:
    """What is wrong, what is typed, and what the command says and returns."""

    words: str
    status: int
    error: str
    hint: str
    spoil: Callable[[Archive], None] = leave_alone


NO_LISTS = "cannot read the package lists of any Debian suite"
FAILURES = {
    "base": Failure(
        "--base 6.13 --series none", 2,
        "no Debian suite carries linux-source-6.13", "Bases that exist: 6.12, 7.3.",
    ),
    "series": Failure(
        "--base 7.3 --series two", 2,
        "the series two does not exist for Linux 7.3", "It exists for 6.12.",
    ),
    "suite": Failure(
        "--base 7.3 --series none", 2,
        "no Debian suite carries linux-source-7.3", "Not all suites could be read",
        take_suites_away,
    ),
    "expired": Failure(
        "--base 7.3 --series none", 3, NO_LISTS, "Check the network and the mirrors", expire
    ),
    "unsigned": Failure(
        "--base 7.3 --series none", 3, NO_LISTS, "debian-archive-keyring", take_signatures_away
    ),
    "half": Failure(
        "--base 7.3 --series none", 3,
        "cannot fetch linux-source-7.3 7.3.4-1~bpo13+1", "Check the network.", truncate_package,
    ),
    "symbol": Failure(
        "--base 6.12 --series none", 2,
        "CONFIG_FEATUER was requested", "Correct the name", misspell_symbol,
    ),
}  # fmt: skip


@pytest.fixture
def settings(project: Project, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the command finds when it is called here."""
    monkeypatch.setenv("DRIVER_PROJECT", str(project.root))
    monkeypatch.setenv("DRIVER_CACHE", str(store.root))
    monkeypatch.setenv("DRIVER_CONFIG", "")


@pytest.mark.usefixtures("settings")
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_the_command_says_it_once(
    failure: Failure, debian: Archive, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """One error, one hint, the exit status that fits; and the cache has nothing half-made."""
    failure.spoil(debian)
    assert status_of("build", "kernel", *failure.words.split()) == failure.status
    printed = capsys.readouterr().err
    (error,) = re.findall(r"^error: (.*)$", printed, re.M)
    (advice,) = re.findall(r"^hint: (.*)$", printed, re.M)
    assert failure.error in error
    assert failure.hint in advice
    assert "Traceback" not in printed
    assert not list((store.root / "tmp").glob("*"))
    assert not list((store.root / "kernel").glob("*"))
    for source in (store.root / "sources").glob("linux-source-*"):
        assert (source / "source.json").is_file(), "a source is complete or absent"
