# SPDX-License-Identifier: Apache-2.0
"""The artifact store: complete or absent, repaired when damaged, made once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driver.process import run
from driver.store import Store, digest_of, file_digest, tree_digest


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: list[str]) -> Store:
    return Store(tmp_path / "cache", notify=notes.append)


def make_greeting(work: Path) -> Mapping[str, Any]:
    (work / "greeting").write_text("hello")
    return {"words": 1}


def never(work: Path) -> None:
    raise AssertionError("made again although it was there")


def test_made_once_then_found(store: Store) -> None:
    first = store.get("text", {"language": "en"}, make_greeting)
    again = store.get("text", {"language": "en"}, never)
    assert again == first
    assert (again.path / "greeting").read_text() == "hello"
    assert again.facts == {"words": 1}


def test_other_inputs_are_another_artifact(store: Store) -> None:
    one = store.get("text", {"language": "en"}, make_greeting)
    two = store.get("text", {"language": "de"}, make_greeting)
    assert one.path != two.path


def test_failure_leaves_nothing_behind(store: Store) -> None:
    def fail(work: Path) -> None:
        (work / "half").write_text("x")
        raise RuntimeError("compiler fell over")

    with pytest.raises(RuntimeError, match="compiler"):
        store.get("text", {}, fail)
    assert store.find("text", {}) is None
    assert list((store.root / "tmp").iterdir()) == []


def test_damaged_file_is_noticed_and_made_again(store: Store, notes: list[str]) -> None:
    artifact = store.get("text", {}, make_greeting)
    (artifact.path / "greeting").write_text("hellp")  # same size: only the digest can tell
    assert store.find("text", {}) is None
    assert "damaged" in notes[0]
    assert "greeting" in notes[0]
    repaired = store.get("text", {}, make_greeting)
    assert (repaired.path / "greeting").read_text() == "hello"


@pytest.mark.parametrize(
    "content", ["", "{", '{"files": ', "{}", "[1]", '{"files": 3, "inputs": {}, "facts": {}}']
)
def test_damaged_manifest_is_noticed(store: Store, content: str) -> None:
    artifact = store.get("text", {}, make_greeting)
    (artifact.path / "artifact.json").write_text(content)
    assert store.find("text", {}) is None
    assert store.get("text", {}, make_greeting).facts == {"words": 1}


def test_second_maker_waits_and_says_so(store: Store, notes: list[str]) -> None:
    started, proceed = threading.Event(), threading.Event()
    made: list[str] = []

    def slowly(work: Path) -> Mapping[str, Any]:
        started.set()
        assert proceed.wait(10)
        made.append("slowly")
        return make_greeting(work)

    first = threading.Thread(target=lambda: store.get("text", {}, slowly))
    first.start()
    assert started.wait(10)
    results: list[Path] = []
    second = threading.Thread(
        target=lambda: results.append(
            Store(store.root, notify=notes.append).get("text", {}, never).path
        )
    )
    second.start()
    while not notes:
        assert second.is_alive()
    proceed.set()
    first.join(10)
    second.join(10)
    assert made == ["slowly"]
    assert len(results) == 1
    assert notes == ["waiting for another driver making this text"]


def test_leftovers_of_a_killed_maker_are_removed(store: Store) -> None:
    stale = store.root / "tmp" / f"text-{digest_of({})[:24]}.99999"
    stale.mkdir(parents=True)
    (stale / "half").write_text("x")
    store.get("text", {}, make_greeting)
    assert not stale.exists()


def test_holes_and_zeros_digest_alike(tmp_path: Path) -> None:
    sparse, dense = tmp_path / "sparse", tmp_path / "dense"
    with sparse.open("wb") as file:
        file.seek(5 << 20)
        file.write(b"payload")
        file.truncate(9 << 20)
    dense.write_bytes(sparse.read_bytes())
    assert file_digest(sparse) == file_digest(dense)
    with dense.open("r+b") as file:
        file.seek(8 << 20)
        file.write(b"!")
    assert file_digest(sparse) != file_digest(dense)


def test_size_and_place_count_in_a_file_digest(tmp_path: Path) -> None:
    digests = set()
    for size, at in ((4 << 20, 0), (8 << 20, 0), (8 << 20, 1 << 20), (0, 0)):
        path = tmp_path / "file"
        path.write_bytes(b"")
        os.truncate(path, size)
        if size:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(b"x")
        digests.add(file_digest(path))
    assert len(digests) == 4


def test_tree_digest_sees_names_contents_modes_and_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    seen = {tree_digest(tmp_path)}
    (tmp_path / "a").write_text("2")
    seen.add(tree_digest(tmp_path))
    (tmp_path / "a").chmod(0o755)
    seen.add(tree_digest(tmp_path))
    (tmp_path / "b").symlink_to("a")
    seen.add(tree_digest(tmp_path))
    (tmp_path / "a").rename(tmp_path / "c")
    seen.add(tree_digest(tmp_path))
    assert len(seen) == 5


def test_scratch_is_known_by_its_real_name(tmp_path: Path) -> None:
    """A build that was recorded under a second name would never be found again."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "scratch").symlink_to(tmp_path / "disk")
    found = Store(tmp_path / "cache").scratch("kernel-build")
    assert found == tmp_path / "disk" / "kernel-build"


KILLED = """
import os, signal, sys, threading
from pathlib import Path
from driver.process import run
from driver.store import Store

with Store(Path(sys.argv[1])).lock_with_programs("tree", waiting_for="another driver"):
    print("locked", flush=True)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    run(["sh", "-c", "sleep 2; echo finished > finished"], cwd=Path(sys.argv[1]))
"""


def test_what_a_killed_driver_left_running_is_waited_for(store: Store, notes: list[str]) -> None:
    store.root.mkdir()
    first = subprocess.Popen(
        [sys.executable, "-c", KILLED, store.root], stdout=subprocess.PIPE, text=True
    )
    assert first.stdout is not None
    assert first.stdout.readline() == "locked\n"
    first.wait(10)
    first.stdout.close()
    with store.lock_with_programs("tree", waiting_for="another driver"):
        assert (store.root / "finished").exists()
    assert notes == ["waiting for programs that are left running by another driver"]


def test_a_program_that_has_ended_holds_nothing(store: Store, notes: list[str]) -> None:
    for _ in range(2):
        with store.lock_with_programs("tree", waiting_for="another driver"):
            run(["true"])
    assert notes == []
