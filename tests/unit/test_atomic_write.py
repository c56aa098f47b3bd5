# SPDX-License-Identifier: Apache-2.0
"""A file is replaced as a whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from driver.atomic_write import UNFINISHED, write_atomically


@pytest.mark.parametrize(
    ("content", "held"), [("caf\u00e9\n", b"caf\xc3\xa9\n"), (b"\xff", b"\xff")]
)
def test_text_and_bytes_are_written(tmp_path: Path, content: bytes | str, held: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"older and longer")
    write_atomically(path, content)
    assert path.read_bytes() == held
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "manifest"
    write_atomically(path, "old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_mistake_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(TypeError):
        write_atomically(path, 7)  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_disk_before_the_name_and_the_name_before_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    seen: list[tuple[str, list[str]]] = []

    def record(descriptor: int) -> None:
        synced = Path(f"/proc/self/fd/{descriptor}").readlink()
        seen.append((synced.name, sorted(entry.name for entry in tmp_path.iterdir())))

    monkeypatch.setattr(os, "fsync", record)
    write_atomically(path, "new")
    unfinished = f".file.{os.getpid()}"
    assert seen == [(unfinished, [unfinished]), (tmp_path.name, ["file"])]
    assert UNFINISHED.fullmatch(unfinished)
    assert not UNFINISHED.fullmatch("file")
