# SPDX-License-Identifier: Apache-2.0
"""The doctor on machines that lack something: each is a PATH with only some tools on it."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
from helpers.command_line import status_of

from driver.doctor import CheckStatus, Finding, examine
from driver.doctor.systems import System, detect, install_command
from driver.doctor.tools import TOOLS, examine_tools
from driver.kernel.sources.mirror import Mirror
from driver.process import DEBIAN_PACKAGE
from driver.progress import SilentReporter
from driver.store import Store

ROOT = Path(__file__).parents[2]
# What the doctor itself calls while it looks; everything else on the PATH is a stub.
COMPILER = """#!/bin/sh
case $1 in
--version) echo 'gcc (GCC) 14.2.1 20240912' ;;
-E) cat > /dev/null; {header} ;;
-print-file-name=*) echo {library} ;;
esac
"""
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def bin_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with every program of the table, each telling version 101.2.3."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        if tool.program:
            put(folder / tool.program, f"#!/bin/sh\necho '{tool.program} 101.2.3'\n")
    put(
        folder / "gcc",
        COMPILER.format(header="echo '# 1 \"/usr/include/libelf.h\"'", library="/l.a"),
    )
    for name in ("cat", "du"):
        put(folder / name, f'#!/bin/sh\nexec {shutil.which(name)} "$@"\n')
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "cache"))
    # Debian's own places are not part of this machine.
    which = shutil.which
    monkeypatch.setattr(
        "driver.doctor.tools.shutil.which", lambda name, **_path: which(name, path=str(folder))
    )
    mirror = Mirror("file:/mirror/debian", signed_by="")
    monkeypatch.setattr("driver.doctor.host.mirror_of", lambda _archive: mirror)
    return folder


def put(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def by_name(findings: list[Finding]) -> dict[str, Finding]:
    return {found.name: found for found in findings}


def test_every_debian_package_is_looked_for() -> None:
    text = (ROOT / "debian-packages.txt").read_text()
    listed = {line for line in text.splitlines() if line and not line.startswith("#")}
    known = {tool.debian for tool in TOOLS}
    # Essential in Debian, or of use to few.
    assert known - listed == {"apt", "perl", "sparse", "gdb"}
    assert listed - known == set()


def test_a_tool_that_is_there_tells_its_version(bin_: Path) -> None:
    found = by_name(examine_tools())
    assert (found["make"].verdict, found["make"].found) == (CheckStatus.OK, "101.2.3")
    assert found["libelf.h"].found == "/usr/include/libelf.h"
    assert found["libc.a"].verdict is CheckStatus.OK


@pytest.mark.parametrize(
    ("program", "verdict", "commands"),
    [
        (
            "bison",
            CheckStatus.MISSING,
            {
                System.DEBIAN: "sudo apt-get install bison",
                System.FEDORA: "sudo dnf install bison",
                System.ARCH: "sudo pacman -S --needed bison",
            },
        ),
        (
            "qemu-system-x86_64",
            CheckStatus.MISSING,
            {
                System.DEBIAN: "sudo apt-get install qemu-system-x86",
                System.FEDORA: "sudo dnf install qemu-system-x86",
                System.ARCH: "sudo pacman -S --needed qemu-system-x86",
            },
        ),
        (
            "shellcheck",
            CheckStatus.NOTE,
            {
                System.DEBIAN: "sudo apt-get install shellcheck",
                System.FEDORA: "sudo dnf install ShellCheck",
                System.ARCH: "sudo pacman -S --needed shellcheck",
            },
        ),
    ],
)
def test_a_tool_that_is_not_there(
    bin_: Path, program: str, verdict: CheckStatus, commands: dict[System, str]
) -> None:
    (bin_ / program).unlink()
    found = by_name(examine_tools())[program]
    assert (found.verdict, found.found, found.remedy) == (verdict, "not found", commands)


def test_headers_and_libraries_are_asked_of_the_compiler(bin_: Path) -> None:
    put(bin_ / "gcc", COMPILER.format(header="exit 1", library="libc.a"))
    found = by_name(examine_tools())
    assert found["libelf.h"].remedy[System.FEDORA] == "sudo dnf install elfutils-libelf-devel"
    assert found["libc.a"].remedy[System.FEDORA] == "sudo dnf install glibc-static"
    (bin_ / "gcc").unlink()
    assert by_name(examine_tools())["libelf.h"].verdict is CheckStatus.MISSING


def test_a_tool_that_does_not_run_is_not_there(bin_: Path) -> None:
    put(bin_ / "make", "#!/no/such/interpreter\n")
    assert by_name(examine_tools())["make"].verdict is CheckStatus.MISSING


@pytest.mark.parametrize(
    ("program", "printed", "verdict"),
    [
        ("make", "GNU Make 3.82", CheckStatus.MISSING),
        ("make", "GNU Make 4.0", CheckStatus.OK),
        ("flex", "flex 2.5.9", CheckStatus.MISSING),
        ("flex", "flex 2.5.35", CheckStatus.OK),
        ("flex", "flex 2.6", CheckStatus.OK),
        ("ld", "GNU ld version 2.24-9.fc41", CheckStatus.MISSING),
        ("ld", "GNU ld (GNU Binutils for Debian) 2.40", CheckStatus.OK),
        (
            "qemu-system-x86_64",
            "QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg)",
            CheckStatus.MISSING,
        ),
        ("qemu-system-x86_64", "QEMU emulator version 10.0.2", CheckStatus.OK),
        ("git", "git version 2.30.2", CheckStatus.MISSING),
        ("bison", "who knows", CheckStatus.OK),
    ],
)
def test_a_tool_that_is_too_old(
    bin_: Path, program: str, printed: str, verdict: CheckStatus
) -> None:
    put(bin_ / program, f"#!/bin/sh\necho '{printed}'\n")
    found = by_name(examine_tools())[program]
    assert found.verdict is verdict
    assert ("or newer is needed" in found.found) is (verdict is CheckStatus.MISSING)


def test_one_command_for_several_packages() -> None:
    wanted = ["flex", "mmdebstrap", "bc", "flex"]
    assert install_command(System.DEBIAN, wanted) == "sudo apt-get install bc flex mmdebstrap"
    assert install_command(System.ARCH, wanted) == (
        "sudo pacman -S --needed bc flex && git clone https://aur.archlinux.org/mmdebstrap.git "
        "&& (cd mmdebstrap && makepkg -si)"
    )


@pytest.mark.parametrize(
    ("text", "system"),
    [
        ('ID=debian\nVERSION_ID="12"\n', System.DEBIAN),
        ("ID=ubuntu\nID_LIKE=debian\n", System.DEBIAN),
        ("ID=linuxmint\nID_LIKE='ubuntu debian'\n", System.DEBIAN),
        ("NAME='Fedora Linux'\nID=fedora\n", System.FEDORA),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', System.FEDORA),
        ("ID=manjaro\nID_LIKE=arch\n", System.ARCH),
        ("ID=nixos\n", None),
    ],
)
def test_systems(tmp_path: Path, text: str, system: System | None) -> None:
    (tmp_path / "os-release").write_text(text)
    assert detect(tmp_path / "os-release") == system
    assert detect(tmp_path / "absent") is None


@pytest.mark.usefixtures("bin_")
class TestHost:
    @pytest.fixture(autouse=True)
    def device(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setattr("driver.guest.accel.DEVICE", tmp_path / "kvm")
        return tmp_path / "kvm"

    def at(self, root: Path) -> dict[str, Finding]:
        return by_name(examine(Store(root), SilentReporter()))

    def test_an_empty_cache(self, tmp_path: Path) -> None:
        found = self.at(tmp_path / "cache")
        assert found["location"].found == str(tmp_path / "cache")
        assert found["writable"].verdict is CheckStatus.OK
        assert found["size"].found == "0.0 GiB"
        assert "has no" in found["proof"].found
        source = found["Linux"]
        assert (source.verdict, source.remedy) == (CheckStatus.NOTE, {})
        assert "from Debian when a kernel is built" in source.found

    def test_sources_in_the_cache(self, tmp_path: Path) -> None:
        home = tmp_path / "cache/sources/linux-source-6.12_6.12.117-1"
        home.mkdir(parents=True)
        (home / "source.json").touch()
        source = self.at(tmp_path / "cache")["Linux"]
        assert (source.verdict, source.found) == (CheckStatus.OK, "in the cache: 6.12.117-1")

    def test_the_size_of_a_cache(self, tmp_path: Path) -> None:
        """What has two names takes room once, and a hole takes none."""
        cache = tmp_path / "cache"
        for folder in ("scratch", "sources", "template"):
            (cache / folder).mkdir(parents=True)
        with (cache / "scratch/file").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, 128 << 20)
        (cache / "sources/file").hardlink_to(cache / "scratch/file")
        with (cache / "template/ram").open("wb") as file:
            file.truncate(1 << 30)
        assert self.at(cache)["size"].found == "0.1 GiB (scratch 0.1 GiB)"

    def test_kvm_is_not_believed_and_nothing_is_built_for_it(self, tmp_path: Path) -> None:
        (tmp_path / "kvm").touch()
        found = self.at(tmp_path / "cache")["proof"]
        assert found.verdict is CheckStatus.NOTE
        assert "not proven" in found.found
        assert found.remedy[System.ARCH] == "driver build"
        assert not (tmp_path / "cache/kernel").exists()

    def test_a_kvm_that_may_not_be_opened(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Reported before asking for a kernel, which would not help."""
        (tmp_path / "kvm").touch(mode=0)
        access = os.access
        monkeypatch.setattr(
            "os.access", lambda path, how: path != tmp_path / "kvm" and access(path, how)
        )
        found = self.at(tmp_path / "cache")["proof"]
        assert (found.verdict, "may not open" in found.found) == (CheckStatus.NOTE, True)
        assert "usermod" in found.remedy[System.DEBIAN]

    def test_kvm_by_proof(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "kvm").touch()
        monkeypatch.setattr("driver.guest.accel.qemu_version", lambda: "QEMU 7.2")
        monkeypatch.setattr("driver.guest.accel._numbers", lambda: (10, 232))
        store = Store(tmp_path / "cache")
        for patches in (["a"], []):
            store.get("kernel", {"patches": patches}, lambda work: made(work, "bzImage"))
        store.get("image", {}, lambda work: made(work, "initramfs.cpio.gz"))
        booted = []

        def boot(kind: str, kernel: object, *_how: object) -> tuple[float, str]:
            booted.append(kernel)
            return (1.0 if kind == "kvm" else 3.0), "42"

        monkeypatch.setattr("driver.guest.accel._try", boot)
        found = self.at(tmp_path / "cache")["proof"]
        assert found.verdict is CheckStatus.OK
        assert "1.0 s under KVM" in found.found
        assert {kernel.release for kernel in booted} == {"bzImage"}  # type: ignore[attr-defined]

    def test_a_full_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("shutil.disk_usage", lambda _path: Usage(9 << 30, 0, 1 << 30))
        found = self.at(tmp_path / "cache")["space"]
        assert (found.verdict, found.found) == (CheckStatus.MISSING, "1.0 GiB free")
        assert "DRIVER_CACHE" in found.remedy[System.FEDORA]

    def test_a_cache_that_kbuild_cannot_use(self, tmp_path: Path) -> None:
        found = self.at(tmp_path / "my cache")
        assert "space or a colon" in found["location"].found
        assert "writable" not in found

    def test_a_cache_that_may_not_be_written(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        found = self.at(tmp_path / "file/cache")
        assert found["writable"].verdict is CheckStatus.MISSING
        source = found["Linux"]
        assert (source.verdict, source.remedy) == (CheckStatus.NOTE, {}), "apt is not to blame"


def made(work: Path, name: str) -> dict[str, str]:
    (work / name).touch()
    return {"release": name}


def test_the_doctor_and_error_messages_name_the_same_packages() -> None:
    for tool in TOOLS:
        package = DEBIAN_PACKAGE.get(tool.program, tool.debian)
        # What brings a compiler along with its headers; a message names the program's own.
        assert tool.debian in (package, "build-essential"), tool


def test_the_command_says_what_to_do(bin_: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bin_ / "bison").unlink()
    (bin_ / "flex").unlink()
    assert status_of("--quiet", "doctor") == 3
    captured = capsys.readouterr()
    assert "  MISSING  bison" in captured.out
    assert "error: missing on this machine: bison, flex" in captured.err
    if detect() is System.DEBIAN:
        assert "All tools at once: sudo apt-get install bison flex" in captured.err


def test_what_is_no_tool_is_named_with_what_it_is_about(
    bin_: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (bin_ / "bison").unlink()
    (tmp_path / "file").touch()
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path / "file/cache"))
    assert status_of("--quiet", "doctor") == 3
    assert "error: missing on this machine: bison, cache (writable)\n" in capsys.readouterr().err


def test_for_a_program(
    bin_: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bin_.is_dir()
    monkeypatch.setattr("driver.doctor.host.mirror_of", lambda _archive: None)
    assert status_of("doctor", "--json") == 3  # no kernel source is available
    report = json.loads(capsys.readouterr().out)
    assert report["healthy"] is False
    source = next(found for found in report["findings"] if found["area"] == "source")
    assert source["verdict"] == "missing"
    assert set(source["remedy"]) == {"debian", "fedora", "arch"}
