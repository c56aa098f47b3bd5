# SPDX-License-Identifier: Apache-2.0
"""Static guest programs from folders of C files.

In such a folder every ``NAME.c`` is a program ``NAME``, and every subfolder ``NAME/`` with C files
is a program made of all of them. The subfolder ``lib/`` is none: each program is linked with what
it uses of the C files in there. So adding a program means adding one file.
Static, because a program then brings its C library along, starts without a loader (fewer faults
to subtract) and lies at the same addresses in every run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

from driver import process
from driver.errors import HostError, UserError
from driver.image import cpio
from driver.progress import Reporter, SilentReporter
from driver.store import Store, digest_of, file_digest

COMPILER = "gcc"
LIBRARY = "lib"
# No build id and no host path: the same sources and compiler give the same bytes anywhere.
# Not a PIE, without which ASLR would move code and tables from run to run for no gain.
FLAGS = (
    "-std=gnu11",
    "-D_GNU_SOURCE",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
    "-static",
    "-no-pie",
    "-fno-pie",
    "-s",
    "-Wl,--build-id=none",
)


@dataclass(frozen=True)
class Program:
    """A program to be: its name and its C files."""

    name: str
    sources: tuple[Path, ...]


def discover(folder: Path) -> list[Program]:
    """The programs of a folder, by name; :class:`UserError` when there are none."""
    single = [Program(path.stem, (path,)) for path in folder.glob("*.c")]
    several = [
        Program(directory.name, tuple(sorted(directory.glob("*.c"))))
        for directory in {path.parent for path in folder.glob("*/*.c")}
        if directory.name != LIBRARY
    ]
    programs = sorted([*single, *several], key=lambda program: program.name)
    if not programs:
        raise UserError(f"{folder} holds no C files", hint="Name a folder of NAME.c files.")
    for first, second in pairwise(programs):
        if first.name == second.name:
            raise UserError(
                f"{folder} holds both {first.name}.c and {first.name}/",
                hint="Rename one: both would become the same program.",
            )
    return programs


def inputs(folders: Iterable[Path]) -> dict[str, object]:
    """Everything that decides the bytes of the folders' programs, for an artifact's digest.

    Folders are known by their last name, wherever the project lies; :class:`UserError` if two have
    the same, because a file of the one could then hide a change in the other.
    """
    folders = list(folders)
    names = [folder.name for folder in folders]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two folders of programs are called {name!r}", hint="Rename one.")
    sources = {
        f"{folder.name}/{path.relative_to(folder)}": file_digest(path)
        for folder in folders
        for path in sorted(folder.rglob("*.[ch]"))
    }
    return {"sources": sources, "flags": list(FLAGS), "compiler": compiler_identity()}


@cache
def compiler_identity() -> dict[str, str]:
    """The compiler's version, and the static C library that ends up in every program."""
    version = process.run([COMPILER, "--version"]).stdout.splitlines()[0]
    library = Path(process.run([COMPILER, "-print-file-name=libc.a"]).stdout.strip())
    if not library.is_absolute():
        raise HostError(
            f"{COMPILER} finds no static C library (libc.a)",
            hint="Install it: sudo apt-get install libc6-dev",
        )
    return {"version": version, "libc": file_digest(library)}


def compile_programs(
    folders: Iterable[Path],
    into: Path,
    on_done: Callable[[str], None] = lambda _name: None,
) -> list[str]:
    """Compile the programs of all folders into the directory ``into``; returns their names.

    A warning is an error, and an error raises :class:`HostError` with the compiler's words.
    """
    names: list[str] = []
    for folder in folders:
        programs = discover(folder)
        for program in programs:
            if program.name in names:
                raise UserError(
                    f"two folders hold a program called {program.name!r}",
                    hint="Rename one: both would become the same program.",
                )
            names.append(program.name)
        with tempfile.TemporaryDirectory() as work:
            library = _compile_library(folder, Path(work))
            for program in programs:
                sources = [source.relative_to(folder) for source in program.sources]
                with process.explaining(f"compile {folder / program.name}"):
                    process.run(
                        [COMPILER, *FLAGS, "-o", into / program.name, *sources, *library],
                        cwd=folder,
                    )
                on_done(program.name)
    return names


def _compile_library(folder: Path, work: Path) -> list[Path]:
    """The archive of the folder's ``lib/``, made in ``work``; none without C files in it.

    An archive, of which the linker takes only what a program uses: code that is there is faulted
    in, and its pages would be paid for in what is measured.
    """
    objects = []
    for source in sorted((folder / LIBRARY).glob("*.c")):
        objects.append(work / f"{source.stem}.o")
        with process.explaining(f"compile {source}"):
            process.run(
                [COMPILER, *FLAGS, "-c", "-o", objects[-1], source.relative_to(folder)], cwd=folder
            )
    if not objects:
        return []
    archive = work / f"{LIBRARY}.a"
    process.run(["ar", "rcsD", archive, *objects])
    return [archive]


def build_programs(store: Store, folder: Path, reporter: Reporter | None = None) -> Path:
    """An archive with the folder's programs in ``/usr/bin``, to append to an image's initramfs.

    For programs that no image carries, such as tests; see :func:`driver.image.cpio.concatenate`.
    """
    reporter = reporter or SilentReporter()

    def make(work: Path) -> dict[str, object]:
        reporter.step(f"Compiling {folder.name}")
        names = compile_programs([folder], work)
        cpio.write(
            work / "programs.cpio",
            {f"/usr/bin/{name}": cpio.File(work / name, 0o755) for name in names},
        )
        for name in names:
            (work / name).unlink()
        return {"programs": names}

    found = store.get("programs", {"programs": digest_of(inputs([folder]))}, make)
    return found.path / "programs.cpio"
