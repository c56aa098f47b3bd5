# SPDX-License-Identifier: Apache-2.0
"""The kernel's own selftests of memory management: built, run, and compared case by case."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mutation.kernel import Patched, check_out

from driver.image import cpio, packages
from driver.process import run as run_program
from driver.process import stream
from driver.store import Store
from thirdparty.guests import Ending

# Static libraries that some of the programs are linked with; without them these are left out.
_LIBRARIES = ("libcap-dev", "libnuma-dev", "liburing-dev")
_SUITE = "bookworm"
FOLDER = "/opt/selftests-mm"
# What run_vmtests.sh computes, for a guest of 2 GiB.
_VARIABLES = {
    "${uffd_stress_bin}": "./uffd-stress",
    '"$half_ufd_size_MB"': "64",
    "${SPLIT_HUGE_PAGE_TEST_XFS_PATH}": "/mnt/dax",
}
_HUGE_PAGES = 160

_RUN = re.compile(r'^\s*CATEGORY="?(\w+)"? run_test (\S+)(.*)$', re.MULTILINE)
# Variables of loops, and continued lines.
_UNFIT = re.compile(r"\$|\\$")
_CASE = re.compile(r"^(?:#\s+)?(ok|not ok) \d+\s*-?\s*(.*)$", re.MULTILINE)
_NUMBERS = re.compile(r"0x[0-9a-f]+|\b\d{4,}\b")


@dataclass(frozen=True)
class Selftest:
    """One invocation out of run_vmtests.sh."""

    program: str
    arguments: str

    @property
    def name(self) -> str:
        return f"{self.program}{self.arguments}"

    @property
    def script(self) -> str:
        return f"""
            mount --bind /mnt/dax /tmp
            echo {_HUGE_PAGES} > /proc/sys/vm/nr_hugepages
            echo 268435456 > /proc/sys/kernel/shmmax
            echo 1 > /proc/sys/vm/overcommit_memory
            cd {FOLDER} && export DAX_DIR=/mnt/dax && ./{self.name} 2>&1
        """


def listed(tree: Path) -> Iterator[Selftest]:
    """What run_vmtests.sh runs, but for shell scripts and what needs a second user."""
    text = (tree / "tools/testing/selftests/mm/run_vmtests.sh").read_text(encoding="utf-8")
    for name, value in _VARIABLES.items():
        text = text.replace(name, value)
    for _category, program, arguments in _RUN.findall(text):
        if (
            program.startswith("./")
            and not program.endswith(".sh")
            and not _UNFIT.search(arguments)
        ):
            yield Selftest(program.removeprefix("./"), arguments.rstrip())


def build(store: Store, found: Patched) -> tuple[Path, dict[str, cpio.Entry]]:
    """The source tree, and the programs as files of a guest."""
    tree = store.scratch("selftests") / "tree"
    log = store.scratch("logs") / "selftests.log"
    log.unlink(missing_ok=True)
    check_out(found, tree)
    libraries = store.scratch("selftests") / "libraries"
    if not libraries.is_dir():
        packages.unpack(_SUITE, _LIBRARIES, libraries, log)
    stream(["make", "-s", "headers"], cwd=tree, log=log)
    output = store.scratch("selftests", "programs")
    # One that cannot be built does not keep the others from being built, hence --keep-going.
    run_program(
        [
            "make", "-s", "--keep-going", "-C", tree / "tools/testing/selftests/mm",
            f"OUTPUT={output}",
            f"KHDR_INCLUDES=-isystem {tree}/usr/include",
            # In CC, where check_config.sh sees it; after the headers of this kernel.
            f"CC=gcc -idirafter {libraries}/usr/include"
            f" -L{libraries}/usr/lib/x86_64-linux-gnu",
            # khugepaged.c of 6.12.117 uses KSFT_SKIP without the header that defines it.
            "EXTRA_CFLAGS=-static -DKSFT_SKIP=4",
        ],
        check=False,
    )  # fmt: skip
    entries: dict[str, cpio.Entry] = {}
    for path in sorted(output.iterdir()):
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            run_program(["strip", path])
            entries[f"{FOLDER}/{path.name}"] = cpio.File(path, 0o755)
    return tree, entries


def cases(ending: Ending) -> dict[str, str]:
    """What each case of a program came to: ``ok``, ``not ok`` or ``skip``; by its description.

    A description loses its long numbers, which are addresses and times. The program itself is a
    case too.
    """
    verdict = ending.trouble or {0: "ok", 4: "skip"}.get(ending.status, "not ok")
    found = {"(the program)": verdict}
    for result, text in _CASE.findall(ending.output):
        description = _NUMBERS.sub("N", text).strip()
        skipped = "# skip" in description.lower()
        key = re.sub(r"#\s*skip.*", "", description, flags=re.IGNORECASE).strip() or "?"
        number = 2
        unique = key
        while unique in found:
            unique, number = f"{key} ({number})", number + 1
        found[unique] = "skip" if skipped else result
    return found


def worse(baseline: dict[str, str], patched: dict[str, str]) -> list[str]:
    """The cases that were well without the series and are not with it."""
    return [
        name
        for name, verdict in baseline.items()
        if verdict != patched.get(name, "absent")
        and verdict in ("ok", "skip")
        and patched.get(name) != "ok"
    ]
