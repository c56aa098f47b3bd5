# SPDX-License-Identifier: Apache-2.0
"""``driver cache`` as a person types it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers.command_line import status_of

from driver.store import Store


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a small old and a large new artifact."""
    root = tmp_path / "cache"
    monkeypatch.setenv("DRIVER_CACHE", str(root))
    for number, (name, size) in enumerate([("small", 1 << 20), ("large", 3 << 20)]):

        def make(work: Path, size: int = size) -> None:
            (work / "data").write_bytes(os.urandom(size))

        path = Store(root).get("image", {"name": name}, make).path
        os.utime(path, (1e9 + 1e6 * number, 1e9 + 1e6 * number))
    return root


def test_list(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("cache", "list") == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if " image " in line]
    assert [(row[0], row[4], row[6]) for row in rows] == [
        ("2001-09-09", "1.00", "small"),
        ("2001-09-20", "3.00", "large"),
    ]
    assert any(line.startswith("2 artifacts, 4.01 MiB of at most 16 GiB") for line in lines)


def test_what_is_in_use_is_shown(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = Store(cache)
    user.find("image", {"name": "small"})
    assert status_of("cache", "list") == 0
    assert "small (in use)" in capsys.readouterr().out
    assert status_of("cache", "prune", "--to", "0") == 0
    out = capsys.readouterr().out
    assert "(large), 3.00 MiB" in out
    assert "small" not in out


def test_prune(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("cache", "prune") == 0
    assert capsys.readouterr().out == "freed 0 B\n"
    assert status_of("cache", "prune", "--to", "3.5M", "--dry-run") == 0
    out = capsys.readouterr().out
    assert out.startswith("would remove image ")
    assert out.endswith("would free 1.00 MiB\n")
    assert status_of("cache", "prune", "--to", "3.5M") == 0
    assert "removed image " in capsys.readouterr().out
    assert len(list(cache.glob("image/*"))) == 1
    assert status_of("cache", "prune", "--to", "0") == 0
    assert list(cache.glob("image/*")) == []


def test_a_size_that_is_none(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of("cache", "prune", "--to", "much") == 2
    assert "'much' is not a size" in capsys.readouterr().err


def test_a_limit_that_is_none(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DRIVER_CACHE_LIMIT", "some")
    assert status_of("cache", "list") == 2
    assert "'some' is not a size" in capsys.readouterr().err
