# SPDX-License-Identifier: Apache-2.0
"""What the cache lets go of when it is too large, and what it never does."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from driver import prune
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import UserError
from driver.guest import template, template_recipe
from driver.guest.machine import Machine
from driver.guest.template import Template, Templates
from driver.store import Store

MIB = 1 << 20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def filled(root: Path, *names: str, mib: int = 1) -> dict[str, Path]:
    """Artifacts of one size each, the first of them unused for longest; nobody uses them."""
    store = Store(root)
    paths = {name: store.get("text", {"name": name}, writing(mib)).path for name in names}
    for age, path in enumerate(reversed(paths.values())):
        os.utime(path, (1e9 - age, 1e9 - age))
    return paths


def writing(mib: int) -> Callable[[Path], Mapping[str, Any]]:
    def make(work: Path) -> Mapping[str, Any]:
        (work / "data").write_bytes(os.urandom(mib * MIB))
        return {}

    return make


def test_the_longest_unused_goes_first(root: Path) -> None:
    paths = filled(root, "old", "middle", "new")
    removed = prune.prune(root, 2 * MIB + MIB // 2)
    assert [entry.about for entry in removed] == ["old"]
    assert [path.exists() for path in paths.values()] == [False, True, True]
    assert list((root / "tmp").iterdir()) == []


def test_use_renews(root: Path) -> None:
    paths = filled(root, "old", "middle", "new")
    Store(root).find("text", {"name": "old"})
    prune.prune(root, MIB + MIB // 2)
    assert [path.exists() for path in paths.values()] == [True, False, False]


def test_what_is_used_stays(root: Path) -> None:
    paths = filled(root, "old", "new")
    store = Store(root)
    assert store.find("text", {"name": "old"})
    os.utime(paths["old"], (0, 0))
    assert [entry.busy for entry in prune.entries(root)] == [True, False]
    assert [entry.about for entry in prune.prune(root, 0)] == ["new"]
    assert paths["old"].exists()
    del store
    assert [entry.about for entry in prune.prune(root, 0)] == ["old"]


def test_what_guests_are_forked_from_stays(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the trials of a run know is its templates, which need a kernel and an image too."""
    monkeypatch.setattr(template_recipe, "qemu_version", lambda: "QEMU emulator version 7.2.22")
    monkeypatch.setattr(template, "make", lambda _recipe, folder, *_: writing(1)(folder))

    def prepared() -> Template:
        store = Store(root)
        kernel = store.get("kernel", {}, lambda _work: {"release": "6.12.117"})
        image = store.get("image", {}, writing(1))
        return Templates(store).get(
            Machine(),
            KernelArtifact.stored(kernel, {}),
            ImageArtifact(image.digest, "dax", image.path / "data", {}),
        )

    found = prepared()
    assert prune.prune(root, 0) == []
    assert found.recipe.image.initramfs.exists()
    del found
    removed = {entry.kind for entry in prune.prune(root, 0)}
    assert removed == {"kernel", "image", "template"}


def test_two_may_make_room_at_the_same_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each looks at what the other is about to remove."""
    paths = filled(root, "old", "new")
    measure = prune.occupied

    def overtaken(path: Path) -> int:
        if path == paths["old"]:
            shutil.rmtree(path)
        return measure(path)

    monkeypatch.setattr(prune, "occupied", overtaken)
    assert [entry.about for entry in prune.prune(root, 0)] == ["new"]


def test_a_dry_run_removes_nothing(root: Path) -> None:
    paths = filled(root, "old", "new")
    assert [entry.about for entry in prune.prune(root, 0, dry_run=True)] == ["old", "new"]
    assert all(path.exists() for path in paths.values())


def test_a_new_artifact_makes_room_and_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = filled(root, "old", "new")
    monkeypatch.setenv(prune.LIMIT_VARIABLE, "2.5M")
    said: list[str] = []
    store = Store(root, notify=said.append)
    made = store.get("text", {"name": "newest"}, writing(1))
    assert made.path.exists()
    assert [path.exists() for path in paths.values()] == [False, True]
    (line,) = said
    assert line.startswith("the cache is larger than it should be: removed text ")
    assert "(old), 1.00 MiB, last used 2001-09-0" in line


def test_one_that_is_too_large_by_itself_is_kept_while_it_is_used(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prune.LIMIT_VARIABLE, "1M")
    store = Store(root)
    assert store.get("text", {"name": "large"}, writing(3)).path.exists()


def test_an_artifact_that_was_pruned_is_made_again(root: Path) -> None:
    filled(root, "old")
    store = Store(root)
    prune.prune(root, 0)
    assert store.find("text", {"name": "old"}) is None
    assert store.get("text", {"name": "old"}, writing(1)).path.exists()


def test_what_a_killed_maker_left_goes_and_what_is_being_made_stays(root: Path) -> None:
    stale = root / "tmp" / f"text-{'0' * 24}.4194305"
    growing = root / "tmp" / f"text-{'1' * 24}.4194305"
    other = root / "tmp" / "source-linux-6.12"
    for path in (stale, growing, other):
        path.mkdir(parents=True)
    with Store(root).lock(f"text-{'1' * 24}", waiting_for="nobody"):
        prune.prune(root, 0)
    assert [path.exists() for path in (stale, growing, other)] == [False, True, True]


def test_holes_take_no_room(root: Path) -> None:
    def sparse(work: Path) -> None:
        (work / "ram").touch()
        os.truncate(work / "ram", 1 << 30)

    path = Store(root).get("template", {}, sparse).path
    assert prune.occupied(path) < MIB


def test_what_an_entry_says_of_itself(root: Path) -> None:
    script = "for%20i;%20do%0A%09echo%20" + "x" * 50
    job = f"job 1\nworker-limit 1\narg sh\narg -c\narg {script}\nend\n"
    argv = ["qemu", "-smp", "4", "-accel", "tcg", "-icount", "shift=3"]
    inputs = {"provision": job, "argv": argv}
    Store(root).get("template", inputs, lambda _work: {"release": "6.12.1"})
    (entry,) = prune.entries(root)
    assert "(6.12.1, icount x4, sh -c for i; do echo ...), " in prune.describe(entry)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1.5K", 1536), ("2m", 2 << 20), ("8G", 8 << 30), ("1TiB", 1 << 40)],
)
def test_sizes(text: str, size: int) -> None:
    assert prune.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "G", "-1", "1 X", "many"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(UserError, match="is not a size"):
        prune.parse_size(text)


def test_a_limit_that_is_no_size_is_reported_before_anything_is_made(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prune.LIMIT_VARIABLE, "plenty")
    made: list[Path] = []
    with pytest.raises(UserError, match=r"^DRIVER_CACHE_LIMIT: 'plenty' is not a size"):
        Store(root).get("text", {}, made.append)
    assert not made
