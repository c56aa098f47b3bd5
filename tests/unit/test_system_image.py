# SPDX-License-Identifier: Apache-2.0
"""Whole Debian systems, with fakes of the programs that make them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, SystemDisk
from driver.errors import HostError, UserError
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files, Ports, argv
from driver.image import recipe, system
from driver.image.recipe import Recipe
from driver.image.rootfs import check_root, with_root
from driver.progress import SilentReporter
from driver.project import Project
from driver.store import Store

# The mmdebstrap among them knows one package, "tools", and carries out its hooks; mkfs.erofs writes
# the names and contents of what it is given.
FAKES = {
    "apt-get": 'echo "deb http://mirror.example/debian bookworm main"\n',
    "dpkg-query": "printf 'tools\\t1.0-1\\nlibc6\\t2.36-9\\n'\n",
    "mkfs.erofs": """
for word; do image=$root; root=$word; done
(cd "$root" && find . -type f ! -path ./.versions ! -path ./.system.erofs | sort |
    xargs -r tail -n +1 -v) > "$image"
""",
    "mmdebstrap": """
echo "$@" >> "$FAKE_LOG"
root=$(mktemp -d "$FAKE_ROOTS/XXXX")
mkdir -p "$root/etc" "$root/usr/bin"
echo "program of the package" > "$root/usr/bin/tool"
for word; do
    case $word in
    --include=*) [ "${word#*=}" = tools ] || { cat "$FAKE_COMPLAINT" >&2; exit 25; } ;;
    esac
done
for word; do
    case $word in
    "--customize-hook=tar-in "*)
        eval "set -- ${word#*=}"
        tar -C "$root" -xf "$2" ;;
    "--customize-hook=download "*)
        eval "set -- ${word#*=}"
        cp "$root$2" "$3" ;;
    --customize-hook=*) sh -c "${word#*=}" exec "$root" || exit ;;
    esac
done
""",
}
WANTED = Recipe(
    description="x", suite="bookworm", packages={"busybox": ["/bin/busybox"]}, system=["tools"]
)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fakes"
    (folder / "roots").mkdir(parents=True)
    for name, text in FAKES.items():
        (folder / name).write_text("#!/bin/sh\n" + text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_LOG", str(folder / "log"))
    monkeypatch.setenv("FAKE_ROOTS", str(folder / "roots"))
    monkeypatch.setenv("FAKE_COMPLAINT", str(folder / "complaint"))
    (folder / "log").touch()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache")


def build(store: Store, wanted: Recipe, *overlays: Path) -> Path:
    found = system.build_system(store, wanted, {"tools": "1.0-1"}, overlays, SilentReporter())
    assert found.facts["versions"] == {"tools": "1.0-1", "libc6": "2.36-9"}
    disk = system.disk(found)
    assert disk.mib << 20 == disk.path.stat().st_size
    assert disk.mib % 16 == 0, "what an NVDIMM must be"
    assert [path.name for path in sorted(found.path.iterdir())] == ["artifact.json", disk.path.name]
    return disk.path


def test_a_system_is_made_once_and_has_the_overlay(
    fakes: Path, store: Store, tmp_path: Path
) -> None:
    overlay = tmp_path / "over lay"
    (overlay / "etc").mkdir(parents=True)
    (overlay / "etc/motd").write_text("hello\n")
    (overlay / "etc/link").symlink_to("motd")
    path = build(store, WANTED, overlay)
    text = path.read_bytes().rstrip(b"\0").decode()
    assert "==> ./usr/bin/tool <==\nprogram of the package" in text
    assert "==> ./etc/motd <==\nhello" in text
    assert "127.0.0.1 localhost" in text
    called = (fakes / "log").read_text()
    assert "--variant=essential" in called
    assert "unshare" in called or os.geteuid() == 0
    assert build(store, WANTED, overlay) == path
    assert (fakes / "log").read_text() == called
    (overlay / "etc/motd").write_text("goodbye\n")
    assert build(store, WANTED, overlay) != path


@pytest.mark.parametrize(
    ("complaint", "message"),
    [
        (
            "E: Unable to locate package nosuch",
            "bookworm does not have all of the packages: nosuch",
        ),
        ("E: Package 'nosuch' has no installation candidate", "does not have all of the packages"),
        (
            "The following packages have unmet dependencies:\n a : Conflicts: b",
            "cannot be installed together: nosuch",
        ),
    ],
)
def test_packages_that_cannot_be_installed(
    fakes: Path, store: Store, complaint: str, message: str
) -> None:
    (fakes / "complaint").write_text(f"{complaint}\n")
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        build(store, WANTED.model_copy(update={"system": ["nosuch"]}))
    assert (caught.value.excerpt or "?") in complaint
    assert caught.value.hint


def test_a_script_that_fails_is_the_hosts_to_look_at(fakes: Path, store: Store) -> None:
    (fakes / "complaint").write_text("dpkg: error processing package tools (--configure)\n")
    with pytest.raises(HostError, match="cannot install Debian bookworm with nosuch") as caught:
        build(store, WANTED.model_copy(update={"system": ["nosuch"]}))
    assert "error processing package" in (caught.value.excerpt or "")
    assert caught.value.log is not None
    assert caught.value.log.is_file()


def test_a_missing_program_is_named_before_anything_is_fetched(
    fakes: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fakes / "mkfs.erofs").unlink()
    monkeypatch.setenv("PATH", str(fakes))
    with pytest.raises(HostError, match=r"`mkfs\.erofs` was not found") as caught:
        build(store, WANTED)
    assert caught.value.hint == "Install it: sudo apt-get install erofs-utils"
    assert not (fakes / "log").read_text()


def test_a_root_file_system_of_ones_own(fakes: Path, store: Store, tmp_path: Path) -> None:
    small = ImageArtifact("0123", "small", tmp_path / "initramfs", {"name": "small"})
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/own").write_text("mine")
    image = with_root(store, small, root, SilentReporter())
    assert image.system is not None
    assert b"==> ./usr/bin/own <==\nmine" in image.system.path.read_bytes()
    assert image.system.mib << 20 == image.system.path.stat().st_size
    assert image.digest != small.digest
    assert with_root(store, small, root, SilentReporter()) == image
    (root / "usr/bin/own").write_text("another")
    assert with_root(store, small, root, SilentReporter()).digest != image.digest
    file = tmp_path / "root.erofs"
    file.write_bytes(bytes(1024) + bytes.fromhex("e2e1f5e0") + bytes(5000))
    found = with_root(store, small, file, SilentReporter()).system
    assert found is not None
    assert found.path.read_bytes().rstrip(b"\0") == file.read_bytes().rstrip(b"\0")
    assert found.mib == 16


def test_what_is_no_root_file_system(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(4096))
    for name, message in {
        "absent": "there is no root file system .*absent: No such file",
        "disk.img": "disk.img is no EROFS",
        ".": "is no root file system: it has no /usr/bin",
    }.items():
        with pytest.raises(UserError, match=message) as caught:
            check_root(tmp_path / name)
        assert caught.value.hint


def test_the_overlay_of_a_system_is_not_that_of_the_initramfs(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name, text in {
        "small": 'suite = "bookworm"\npackages = { busybox = ["/bin/busybox"] }',
        "large": 'extends = "small"\nsystem = ["fio"]',
        "larger": 'extends = "large"\nsystem = ["sqlite3", "fio"]',
    }.items():
        (project.images / name / "overlay").mkdir(parents=True)
        (project.images / name / "recipe.toml").write_text(f'description = "x"\n{text}\n')
    assert recipe.load(project, "larger").system == ["fio", "sqlite3"]
    assert [path.parent.name for path in recipe.overlays(project, "larger")] == ["small"]
    found = recipe.overlays(project, "larger", system=True)
    assert [path.parent.name for path in found] == ["large", "larger"]


@pytest.mark.parametrize(("nvdimm_mib", "device"), [(1024, "/dev/pmem1"), (0, "/dev/pmem0")])
def test_a_guest_has_its_system_as_the_last_nvdimm(nvdimm_mib: int, device: str) -> None:
    """For every guest the same file, which none of them writes."""
    disk = SystemDisk(Path("/s,1/system"), 512)
    files = Files(Path("k"), Path("i"), Path("c"), Path("ram"), Path("nvdimm"), system=disk)
    machine = Machine(nvdimm_mib=nvdimm_mib)
    words = argv(machine, files, Ports(monitor=5, agent=7))
    backend = "memory-backend-file,id=system,size=512M,mem-path=/s,,1/system,share=on,readonly=on"
    assert words[words.index(backend) + 2] == "nvdimm,id=nvdimm1,memdev=system,unarmed=on"
    assert f"driver.system={device}" in words[words.index("-append") + 1].split()
    slots = 1 + bool(nvdimm_mib)
    assert words[words.index("-m") + 1].startswith(f"{machine.memory_mib}M,slots={slots},maxmem=")
