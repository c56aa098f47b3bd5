# SPDX-License-Identifier: Apache-2.0
"""A guest's memory from outside, as far as it goes without a guest."""

from __future__ import annotations

import builtins
import mmap
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from driver.api.coverage import Ranges, coverage_of
from driver.api.inspection import PageTables
from driver.api.instruments import check_instruments
from driver.cli.views import console, coverage_table, page_table_picture, page_table_tree
from driver.errors import HostError, UserError
from driver.instruments import coverage, holding, instruments, page_tables, plugin
from driver.instruments.executed import Block, Output
from driver.instruments.instrument import Scene, UnreadableObservation
from driver.kernel.source_lines import source_lines
from driver.memory import kernel, physical
from driver.memory.kernel import KernelImage

MIB = 1 << 20


@pytest.mark.parametrize(
    ("mib", "expected"),
    [
        (512, [(0, 512 * MIB, 0)]),
        # hw/i386/pc_q35.c: from 2.75 GiB on, what is above 2 GiB lies above 4 GiB.
        (2815, [(0, 2815 * MIB, 0)]),
        (2816, [(0, 2048 * MIB, 0), (4096 * MIB, 768 * MIB, 2048 * MIB)]),
    ],
)
def test_where_ram_is(mib: int, expected: Sequence[tuple[int, int, int]]) -> None:
    found = [(one.address, one.size, one.offset) for one in physical.segments(mib)]
    assert found == list(expected)


def test_memory_is_that_of_the_process(tmp_path: Path) -> None:
    """What it has written to its private mapping, not what is in the file."""
    path = tmp_path / "ram"
    path.write_bytes(bytes(MIB))
    with path.open("rb") as file:
        ram = mmap.mmap(file.fileno(), MIB, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
    ram[4096:4100] = b"here"
    with physical.memory_of(os.getpid(), 1) as memory:
        assert memory.read(4096, 4) == b"here"
        assert memory.read(MIB - 8, 8) == bytes(8)
        with pytest.raises(ValueError, match="no RAM"):
            memory.read(MIB - 4, 8)
    ram.close()
    with (
        pytest.raises(HostError, match="no file with 1 MiB of RAM"),
        physical.memory_of(os.getpid(), 1),
    ):
        pass


@pytest.fixture
def vmlinux(tmp_path: Path) -> Path:
    """An ELF file with the symbols and the notes of a kernel, linked to a kernel's address."""
    return link(tmp_path / "vmlinux", "one")


def link(path: Path, name: str) -> Path:
    source = path.with_suffix(".s")
    source.write_text(f"""
        .globl init_uts_ns, init_top_pgt, __start_notes, __stop_notes, __pgtable_l5_enabled
        .data
        init_uts_ns: .quad 1
        init_top_pgt: .quad 2
        __pgtable_l5_enabled: .long 0
        .section .notes, "a", @note
        __start_notes:
        .long 4, 4, 3
        .asciz "GNU"
        .ascii "{name:4.4}"
        __stop_notes:
    """)
    script = path.with_suffix(".ld")
    script.write_text(
        "SECTIONS { . = 0xffffffff81000000; .data : { *(.data) } .notes : { *(.notes) } }"
    )
    subprocess.run(["as", "-o", path.with_suffix(".o"), source], check=True)
    subprocess.run(["ld", "-T", script, "-o", path, path.with_suffix(".o")], check=True)
    return path


def memory_with(vmlinux: Path, five_levels: int = 0) -> Any:
    """A reader of physical memory in which an ELF file was loaded where it was linked."""
    binary = vmlinux.with_suffix(".bin")
    subprocess.run(["objcopy", "-O", "binary", vmlinux, binary], check=True)
    image = bytearray(binary.read_bytes())
    image[16:20] = five_levels.to_bytes(4, "little")

    def read(address: int, size: int) -> bytes:
        assert address >= 0x1000000, "below the kernel"
        return bytes(image[address - 0x1000000 :][:size])

    return read


def test_the_note_for_drgn(vmlinux: Path) -> None:
    image = KernelImage(vmlinux, "6.12.1-test")
    note = image.vmcoreinfo(memory_with(vmlinux))
    assert note.splitlines()[:2] == ["OSRELEASE=6.12.1-test", "PAGESIZE=4096"]
    assert "SYMBOL(swapper_pg_dir)=ffffffff81000008" in note
    assert "NUMBER(pgtable_l5_enabled)=0" in note
    assert "NUMBER(pgtable_l5_enabled)=1" in image.vmcoreinfo(memory_with(vmlinux, 1))


def test_another_build_is_refused(vmlinux: Path, tmp_path: Path) -> None:
    read = memory_with(vmlinux)
    KernelImage(vmlinux, "6.12.1").demand_same(read)
    other = link(tmp_path / "other", "two")
    with pytest.raises(UserError, match="its build ID differs") as error:
        KernelImage(other, "6.12.1").demand_same(read)
    assert "built again since" in (error.value.hint or "")


def test_a_kernel_without_symbols_or_debug_information(vmlinux: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="without debug information") as error:
        KernelImage.in_folder(tmp_path, "6.12.1")
    assert "--variant debug-info" in (error.value.hint or "")
    subprocess.run(["strip", vmlinux], check=True)
    with pytest.raises(UserError, match="has no symbol init_uts_ns"):
        KernelImage(vmlinux, "6.12.1").vmcoreinfo(lambda _address, size: bytes(size))


def test_a_dump_that_is_cut_short(vmlinux: Path, tmp_path: Path) -> None:
    pytest.importorskip("drgn")
    dump = tmp_path / "dump"
    dump.write_bytes(b"KDUMP   " + bytes(100))
    with pytest.raises(HostError, match="cannot be read") as error:
        kernel.open_dump(dump, KernelImage(vmlinux, "6.12.1"))
    assert "Was the disk full" in (error.value.hint or "")


def test_without_drgn(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "drgn":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(plugin, "plugin_interface", lambda: 1)
    check_instruments("tcg", ["functions"])
    with pytest.raises(UserError, match="drgn is not installed") as error:
        check_instruments("icount", ["page-tables"])
    assert "dax-pagetable-driver[drgn]" in (error.value.hint or "")


def test_a_guest_is_looked_at_while_it_waits() -> None:
    """What the plugin does: a byte, then nothing until one comes back."""
    seen: list[tuple[int, int]] = []
    released: list[int] = []
    with holding.looking(lambda pid, phase: seen.append((pid, phase))) as path:
        assert (path.parent.stat().st_mode & 0o777) == 0o700
        with socket.socket(socket.AF_UNIX) as plugin:
            plugin.connect(str(path))
            for phase in range(3):
                plugin.send(b".")
                plugin.settimeout(10)
                assert plugin.recv(1) == b"."
                released.append(phase)
                assert seen[-1] == (os.getpid(), phase)
    assert len(seen) == len(released) == 3
    assert not path.parent.exists()


def test_a_guest_that_never_comes_is_not_waited_for() -> None:
    before = threading.active_count()
    with holding.looking(lambda _pid, _phase: None):
        pass
    assert threading.active_count() == before


def test_what_was_seen_is_read_by_phase(tmp_path: Path) -> None:
    path = tmp_path / "page-tables.out"
    row = '{"what": "x", "stated": 1, "found": 1, "difference": 0}'
    table = '{"pid": 7, "level": "PGD"}'
    line = f'{{"phase": 0, "tables": [{table}], "audit": [{row}]}}\n'
    path.write_text(f'{line}{line}{{"end": true}}\n')
    scene = Scene(None, None, None, ["one", "two"])  # type: ignore[arg-type]
    found = page_tables.INSTRUMENT.read(path, scene)
    assert [row["phase"] for row in found["page_tables.csv"]] == ["one", "two"]
    assert found["page_tables_audit.csv"][0]["stated"] == 1
    for text, message in (
        (line, "cut off"),
        ("", "cut off"),
        ("{", "page-tables"),
        ('{"phase": 0, "error": "no RAM"}\n{"end": true}\n', "phase 1: no RAM"),
    ):
        path.write_text(text)
        with pytest.raises(UnreadableObservation, match=message):
            page_tables.INSTRUMENT.read(path, scene)


def test_every_instrument_with_types_asks_for_them() -> None:
    variants = {name: one.variant for name, one in instruments().items()}
    assert variants == {
        "coverage": "debug-info",
        "functions": None,
        "page-tables": "debug-info",
        "page-walks": None,
    }


COLUMNS = (
    "phase", "pid", "process", "file", "level", "table", "entry_at", "start", "present", "leaves",
    "sharers", "users",
)  # fmt: skip


def rows(phase: str, pid: int, pmd: int, users: object) -> list[tuple[object, ...]]:
    """The tables of a process: a PGD and a page of PUDs of its own, and a page of PMDs."""
    pgd, pud = pid << 20, (pid << 20) + 0x1000
    here = (phase, pid, "life", "/mnt/dax/data")
    return [
        (*here, "PGD", f"{pgd:#x}", "", "0x7f00", 1, 0, 0, ""),
        (*here, "PUD", f"{pud:#x}", f"{pgd + 8:#x}", "0x7f00", 1, 0, 1, ""),
        (*here, "PMD", f"{pmd:#x}", f"{pud + 16:#x}", "0x7f00", 512, 512, 2, users),
    ]


@pytest.fixture
def found() -> PageTables:
    shared = [*rows("share", 5, 0x9000, 2), *rows("share", 6, 0x9000, 2)]
    own = [*rows("own", 5, 0x9000, ""), *rows("own", 6, 0xA000, "")]
    tables = pd.DataFrame([*shared, *own], columns=list(COLUMNS))
    audit = pd.DataFrame(
        [("share", "PageTables in pages", 9, 9), ("own", "PageTables in pages", 9, 9),
         ("gone", "PageTables in pages", 3, 4)],
        columns=["phase", "what", "stated", "found"],
    )  # fmt: skip
    return PageTables("trial", tables, audit)


def test_the_picture_shows_a_shared_table_once(found: PageTables) -> None:
    drawing = page_table_picture(found, ["share", "own", "gone"])
    assert drawing.count("page of PMDs, 2 users") == 1
    assert drawing.count(">page of PMDs<") == 2
    assert drawing.count("0x9000") == 2
    assert ">share</text>" in drawing
    assert "no process maps the file" in drawing
    # Both processes have a line to it, and it to what it maps.
    assert drawing.count('stroke="#0969da"/>') == 3 + 2


def test_the_tree_names_what_does_not_hold(
    found: PageTables, capsys: pytest.CaptureFixture[str]
) -> None:
    console().print(page_table_tree(found, found.phases))
    printed = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "2 entries point to it, 2 users" in printed
    assert "PageTables in pages: the kernel states 3, there are 4" in printed
    assert len(found.differences) == 1


def test_ranges_of_what_was_executed() -> None:
    output = Output(
        blocks={
            0: Block([0x100, 0x103, 0x105], 0x10A, None),
            1: Block([0x10A], 0x10C, None),
            2: Block([0x200], 0x201, None),
        },
        counts=[
            (0, "other", 0, 0, 0, 2, 5),
            (0, "other", 0, 1, 0, 1, 1),
            (0, "other", 1, 2, 0, 1, 1),
        ],
    )
    found = list(coverage.ranges(output))
    # The last instruction of the first block faulted, and never finished.
    assert found == [(0x100, 0x105), (0x10A, 0x10C), (0x200, 0x201)]
    executed = Ranges([*found, (0x201, 0x204)])
    assert executed.touch(0x104, 0x106)
    assert not executed.touch(0x105, 0x10A)
    assert executed.touch(0x0, 0x101)
    assert executed.touch(0x203, 0x300)
    assert not executed.touch(0x204, 0x300)
    assert not Ranges([]).touch(0, 10)


def test_lines_of_a_program_that_was_half_executed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a program of two functions, of which addresses of one were executed."""
    pytest.importorskip("elftools")
    source, program = tmp_path / "two.c", tmp_path / "two"
    source.write_text("int one(int x)\n{\n\treturn x + 1;\n}\n\nint two(int x)\n{\n"
                      "\tif (x)\n\t\treturn 3;\n\treturn x * 5;\n}\n")  # fmt: skip
    command = ["gcc", "-g", "-O0", "-ffreestanding", "-nostdlib", "-static", "-Wl,-e,one"]
    subprocess.run([*command, "-o", program, source], check=True)
    listing = subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout
    starts = {line.split()[2]: int(line.split()[0], 16) for line in listing.splitlines()}
    lines = source_lines(program, ["two.c", "other.c"])
    assert set(lines["two.c"]) == {2, 3, 4, 7, 8, 9, 10, 11}
    assert not lines["other.c"]
    executed = Ranges([(starts["one"], starts["two"])])
    (file,) = coverage_of(program, {"two.c": range(3, 12), "other.c": [1]}, executed)
    assert file.missed == [7, 8, 9, 10, 11]
    assert file.share == pytest.approx(2 / 7)
    console().print(coverage_table([file], missed=True))
    assert "two.c: 7-11" in capsys.readouterr().out
    subprocess.run(["strip", "--strip-debug", program], check=True)
    with pytest.raises(UserError, match="no debug information"):
        source_lines(program, ["two.c"])
