# SPDX-License-Identifier: Apache-2.0
"""Initramfs archives: read back by cpio(1), the same bytes every time."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from driver.image import cpio
from driver.image.cpio import Directory, Entry, File, Link


def listing(archive: Path) -> dict[str, str]:
    """Name -> mode and owner, as cpio(1) sees them."""
    shown = subprocess.run(
        ["cpio", "-itv", "--numeric-uid-gid"],
        stdin=archive.open("rb"),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    entries = {}
    for line in shown.splitlines():
        mode, _links, user, group, _size, month, day, year, name = line.split(None, 8)
        entries[name] = f"{mode} {user}:{group} {month} {day} {year}"
    return entries


EXAMPLE: dict[str, Entry] = {
    "/usr/bin/agent": File(b"\x7fELF" + bytes(range(256)), 0o755),
    "/init": Link("usr/bin/init"),
    "/root/.ssh/authorized_keys": File(b"ssh-ed25519 AAAA\n", 0o600),
    "/root/.ssh": Directory(0o700),
    "/empty": File(b""),
}

needs_cpio = pytest.mark.skipif(shutil.which("cpio") is None, reason="cpio is not installed")


@needs_cpio
def test_cpio_reads_it_back(tmp_path: Path) -> None:
    archive = tmp_path / "a.cpio"
    cpio.write(archive, EXAMPLE)
    assert listing(archive) == {
        "empty": "-rw-r--r-- 0:0 Jan 1 1970",
        "init -> usr/bin/init": "lrwxrwxrwx 0:0 Jan 1 1970",
        "root": "drwxr-xr-x 0:0 Jan 1 1970",
        "root/.ssh": "drwx------ 0:0 Jan 1 1970",
        "root/.ssh/authorized_keys": "-rw------- 0:0 Jan 1 1970",
        "usr": "drwxr-xr-x 0:0 Jan 1 1970",
        "usr/bin": "drwxr-xr-x 0:0 Jan 1 1970",
        "usr/bin/agent": "-rwxr-xr-x 0:0 Jan 1 1970",
    }


@needs_cpio
def test_contents_survive(tmp_path: Path) -> None:
    archive = tmp_path / "a.cpio"
    cpio.write(archive, EXAMPLE)
    subprocess.run(["cpio", "-id"], stdin=archive.open("rb"), cwd=tmp_path, check=True)
    for name, entry in EXAMPLE.items():
        if isinstance(entry, File):
            assert (tmp_path / name.lstrip("/")).read_bytes() == entry.content


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    archives = []
    for turn in range(2):
        source.write_text("content")
        os.utime(source, (turn * 1000, turn * 1000))
        archive = tmp_path / f"{turn}.cpio"
        entries = {**EXAMPLE, "/copied": File(source)}
        cpio.write(archive, dict(sorted(entries.items(), reverse=bool(turn))))
        archives.append(archive.read_bytes())
    assert archives[0] == archives[1]


def test_archives_join_at_multiples_of_four(tmp_path: Path) -> None:
    first, second, joined = tmp_path / "a", tmp_path / "b", tmp_path / "c"
    cpio.write(first, {"/one": File(b"1")})
    cpio.write(second, {"/two": File(b"22")})
    content = first.read_bytes()
    # As if it came from elsewhere: an archive of ours ends on a multiple of 4 already.
    first.write_bytes(content + b"\0")
    cpio.concatenate([first, second], joined)
    data = joined.read_bytes()
    assert data.startswith(content)
    assert data.endswith(second.read_bytes())
    assert data.index(second.read_bytes()) % 4 == 0


@pytest.mark.parametrize("name", ["relative", "/a/../b", "a/b"])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        cpio.write(tmp_path / "a.cpio", {name: File(b"")})


def test_nothing_lies_below_a_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a directory"):
        cpio.write(tmp_path / "a.cpio", {"/a": File(b""), "/a/b": File(b"")})
