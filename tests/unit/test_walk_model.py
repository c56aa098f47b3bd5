# SPDX-License-Identifier: Apache-2.0
"""The model of TLBs and caches, compared with cases whose answers are known."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from helpers.documentation import ROOT

from driver.errors import UserError
from driver.instruments import machine_model
from driver.instruments.machine_model import MachineModel, load, servers

SOURCE = ROOT / "tests/fixtures/walk-model/cases.c"
# Of the machine "tiny": an L1 of 4 pages and 2 huge ones, an L2 of 4 sets of 4, 4 PDEs and 2
# PDPTEs, 2 address spaces; caches of 16, 64 and 256 lines. A circle that is one too long misses in
# every set that is too full, and only there: least recently used.
KNOWN = {
    # What is touched again and again: so many pages of 4 KiB.
    "pages-1-l1": 1, "pages-1-l2": 0, "pages-1-walks": 0,
    "pages-4-l1": 4, "pages-4-l2": 0, "pages-4-walks": 0,
    "pages-5-l1": 0, "pages-5-l2": 5, "pages-5-walks": 0,
    "pages-16-l1": 0, "pages-16-l2": 16, "pages-16-walks": 0,
    "pages-17-l1": 0, "pages-17-l2": 12, "pages-17-walks": 5,
    "pages-20-l1": 0, "pages-20-l2": 0, "pages-20-walks": 20,
    "pages-64-l1": 0, "pages-64-l2": 0, "pages-64-walks": 64,
    # Pages of 2 MiB: one walk, which ends a level earlier, serves all of one.
    "huge-2-l1": 2, "huge-3-l1": 0, "huge-walks": 1, "huge-pmd": 1, "huge-pte": 0,
    # 20 pages in so many regions of 2 MiB: with a PDE for each a walk is one reference.
    "regions-4-walks": 20, "regions-4-pte": 20, "regions-4-pmd": 0, "regions-4-pud": 0,
    "regions-5-walks": 20, "regions-5-pte": 20, "regions-5-pmd": 20, "regions-5-pud": 0,
    # Lines of PTEs that come from memory, in the first address space and in the second, which
    # always has to walk; and the lines of all tables: three of PTEs, one for each above it. Those
    # that share have the page of PMDs in common, and what is below.
    "shared-first": 3, "shared-second": 0, "shared-walks": 24, "shared-lines": 8,
    "own-first": 3, "own-second": 3, "own-walks": 24, "own-lines": 12,
    # INVLPG takes one page, and the whole way to it; the same root again takes everything.
    "invlpg-walks": 1, "invlpg-references": 4, "reload-walks": 4, "other-core-walks": 0,
    "pge-walks": 1, "spaces-2-walks": 0, "spaces-3-walks": 3,
    "stale": 1, "stale-walks": 1, "stale-failed": 0, "unmapped-failed": 1,
    # Lines of memory in a circle, by what serves them.
    "lines-16-l1": 16, "lines-17-l1": 12, "lines-64-l2": 64, "lines-65-l2": 60,
    "lines-256-llc": 256, "lines-257-llc": 248, "lines-257-memory": 9,
    "other-core-llc": 1, "table-lines": 1, "displaced": 1, "displaced-again": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("walk-model") / "cases"
    flags = ["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Wshadow", "-Werror"]
    include = f"-I{machine_model.FOLDER.parent}"
    subprocess.run(["gcc", *flags, include, "-o", program, SOURCE], check=True)
    return program


def test_known_cases_have_their_answers(cases: Path) -> None:
    done = subprocess.run(
        [cases, load("tiny").specification()], capture_output=True, text=True, check=True
    )
    found = {name: int(number) for name, number in map(str.split, done.stdout.splitlines())}
    assert found == KNOWN


def test_the_real_machines_are_taken(cases: Path) -> None:
    names = [machine.name for machine in servers()]
    assert names == ["ice-lake-sp", "zen-3"]
    for machine in servers():
        assert len(machine.source) > 100, "where are the numbers from?"
        done = subprocess.run([cases, machine.specification()], capture_output=True, check=False)
        assert done.returncode == 0, machine.name


def test_a_mistake_in_a_machine_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine_model, "FOLDER", tmp_path)
    text = (Path(__file__).parents[2] / "driver/instruments/machines/tiny.toml").read_text()
    (tmp_path / "odd.toml").write_text(text.replace("entries = 16", "entries = 15"))
    with pytest.raises(UserError, match=r"15 entries are no whole sets of 4"):
        load("odd")


def test_a_specification_has_sets_and_ways() -> None:
    tiny: MachineModel = load("tiny")
    assert tiny.specification() == (
        "tiny:l1-4k=1x4:l1-2m=1x2:l2-4k=4x4:pde=1x4:pdpte=1x2:pml4e=1x1"
        ":l1d=4x4:l2=16x4:llc=32x8:asids=2"
    )
