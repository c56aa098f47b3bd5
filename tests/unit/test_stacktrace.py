# SPDX-License-Identifier: Apache-2.0
"""Stack traces with source lines: on a program that knows where it is, and on a real panic."""

from __future__ import annotations

import itertools
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from driver.kernel.stacktrace import decode
from driver.kernel.symbols import Symbols

PANIC = Path(__file__).parents[1] / "fixtures" / "console" / "sysrq-panic.txt"
HINT = "build it otherwise"

# Prints the offset of its return address within the caller, the way a kernel sees its own stack.
_MAIN = r"""
#include <stdio.h>
__attribute__((noinline)) void trace(const char *name, void *function)
{
	long offset = (char *)__builtin_return_address(0) - (char *)function;
	printf("%s %lx\n", name, offset);
}
extern void other(void);
int kernel_init(void *unused);
static inline __attribute__((always_inline)) void inlined(void *function)
{
	trace("outer", function); /* INLINED */
	asm volatile("");
}
__attribute__((noinline)) void outer(void)
{
	asm volatile("");
	inlined(outer); /* OUTER */
	asm volatile("");
}
static __attribute__((noinline)) void twin(void)
{
	trace("twin", twin); /* TWIN */
	asm volatile("");
}
int kernel_init(void *unused)
{
	twin();
	outer();
	other();
	return unused != 0;
}
int main(int argc, char **argv)
{
	return kernel_init(argc > 9 ? argv : 0);
}
"""
_OTHER = r"""
extern int volatile sink;
int volatile sink;
static __attribute__((noinline)) void twin(void)
{
	sink = 1;
	sink += 2;
	sink += 3;
	sink += 4;
}
void other(void)
{
	twin();
	sink += 1;
}
"""


@dataclass(frozen=True)
class Program:
    """A program with debug information, and traces as a kernel would print them."""

    symbols: Symbols
    frames: dict[str, str]


def run(*argv: object) -> str:
    return subprocess.run(
        [str(word) for word in argv], check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    tree = tmp_path_factory.mktemp("linux")
    for name, text in (("init/main.c", _MAIN), ("mm/other.c", _OTHER)):
        (tree / name).parent.mkdir()
        (tree / name).write_text(text)
    binary = tree / "vmlinux"
    sources = [tree / "init/main.c", tree / "mm/other.c"]
    run("gcc", "-g", "-O1", "-fno-omit-frame-pointer", "-no-pie", "-o", binary, *sources)
    sizes = dict(functions(binary))
    frames = {}
    for line in run(binary).splitlines():
        name, offset = line.split()
        frames[name] = f"{name}+0x{offset}/{sizes[name]:#x}"
    return Program(Symbols(binary), frames)


def functions(binary: Path) -> list[tuple[str, int]]:
    """Every function by name, with the distance to the next one; the first of a name is last."""
    rows = [line.split() for line in run("nm", "-n", binary).splitlines()]
    starts = [(int(row[0], 16), row[2]) for row in rows if len(row) == 3 and row[1] in "tT"]
    found = [(name, after - at) for (at, name), (after, _) in itertools.pairwise(starts)]
    return found[::-1]


def line_of(mark: str) -> int:
    return next(n for n, line in enumerate(_MAIN.splitlines(), start=1) if f"/* {mark} */" in line)


def test_a_return_address_is_at_the_line_of_its_call(program: Program) -> None:
    text = f"[    1.000000]  {program.frames['twin']}\n"
    found = decode(text, program.symbols)
    assert found.text == (
        f"[    1.000000]  {program.frames['twin']} (init/main.c:{line_of('TWIN')})"
    )
    assert found.note == "source lines from the debug information of the kernel that ran"


def test_inlined_functions_are_named(program: Program) -> None:
    found = decode(f"[    1.000000][  T140]  ? {program.frames['outer']}", program.symbols)
    inner, outer = line_of("INLINED"), line_of("OUTER")
    assert found.text.endswith(f"(init/main.c:{inner} inlined, inlined at init/main.c:{outer})")


def test_an_instruction_pointer_is_exact(program: Program) -> None:
    """The call returns to another line than it was made on."""
    frame = program.frames["outer"]
    found = decode(f"[    1.000000] RIP: 0010:{frame}", program.symbols)
    location = re.search(r"\(init/main\.c:(\d+)", found.text)
    assert location is not None
    assert int(location[1]) != line_of("INLINED")


def test_functions_of_one_name_are_distinguished_by_size(program: Program) -> None:
    sizes = [size for name, size in functions(program.symbols.path) if name == "twin"]
    assert len(set(sizes)) == 2
    places = set()
    for size in sizes:
        found = decode(f"[    1.000000] RIP: 0010:twin+0x0/{size:#x}", program.symbols).text
        places.add(found.rpartition("(")[2].partition(":")[0])
    assert places == {"init/main.c", "mm/other.c"}


def test_a_trace_of_another_kernel_is_not_believed(program: Program) -> None:
    found = decode(PANIC.read_text(), program.symbols)
    assert found.text == PANIC.read_text().rstrip("\n")
    assert "the trace is not of the kernel" in found.note
    mixed = f"[    1.0]  {program.frames['twin']}\n[    1.0]  twin+0x1/0x99999"
    assert decode(mixed, program.symbols).note.endswith("; not found: twin")


def test_text_without_a_trace_is_left_alone(program: Program) -> None:
    text = "[    0.100000] Linux version 6.12 (gcc+0x) 1+2/3\nx+0x1/0x2 [module]"
    assert decode(text, program.symbols).text == text
    assert decode(text, program.symbols).note == ""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Symbols:
    """A kernel of symbols alone: the functions of the recorded panic, at their sizes."""
    folder = tmp_path_factory.mktemp("kernel")
    sizes = dict(re.findall(r" (\w+)\+0x[0-9a-f]+/(0x[0-9a-f]+)", PANIC.read_text()))
    assembly = "".join(f".globl {name}\n{name}: .skip {size}\n" for name, size in sizes.items())
    (folder / "kernel.s").write_text(f".text\n{assembly}.globl _etext\n_etext: ret\n")
    run("gcc", "-nostdlib", "-static", "-Wl,-Ttext=0xffffffff81000000", "-Wl,-e,panic",
        "-o", folder / "vmlinux", folder / "kernel.s")  # fmt: skip
    return Symbols.of_kernel(folder)


def test_without_debug_information_there_are_no_lines_and_it_says_so(bare: Symbols) -> None:
    found = decode(PANIC.read_text(), bare, hint=HINT)
    assert found.text == PANIC.read_text().rstrip("\n")
    assert found.note == (
        f"no source lines: the kernel was built without debug information; {HINT}"
    )


def test_every_frame_of_the_panic_is_found(bare: Symbols) -> None:
    frames = re.findall(r"(\w+)\+0x([0-9a-f]+)/0x([0-9a-f]+)", PANIC.read_text())
    assert ("sysrq_handle_crash", "11", "20") in frames
    for name, offset, size in frames:
        address = bare.address(name, int(offset, 16), int(size, 16))
        assert address is not None
        assert bare.function(address) == f"{name}+0x{offset}/0x{size}"


def test_a_kernel_without_names_gets_them(bare: Symbols) -> None:
    at = bare.address("sysrq_handle_crash", 0x11, 0x20)
    assert at is not None
    moved = 0x1A000000
    text = (
        f"[    2.0]  [<{at + moved:x}>]\n"
        f"[    2.1] RIP: 0010:0x{at + moved:x}\n"
        f"[    2.2] Kernel Offset: {moved:#x} from 0xffffffff81000000\n"
    )
    found = decode(text, bare).text.splitlines()
    assert found[0].endswith(">] (sysrq_handle_crash+0x11/0x20)")
    assert found[1].endswith(" (sysrq_handle_crash+0x11/0x20)")


def test_the_whole_kernel_is_preferred(tmp_path: Path) -> None:
    assert Symbols.of_kernel(tmp_path).path.name == "vmlinux"
    (tmp_path / "vmlinux.debug").touch()
    assert Symbols.of_kernel(tmp_path).path.name == "vmlinux.debug"
