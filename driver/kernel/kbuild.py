# SPDX-License-Identifier: Apache-2.0
"""Running the kernel build: progress, the whole log, and the first error that matters."""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from driver.atomic_write import write_atomically
from driver.errors import HostError
from driver.kernel.make import Make
from driver.process import CommandFailed
from driver.progress import Reporter

TARGETS = ("vmlinux", "bzImage")
VMLINUX = Path("vmlinux")
BZIMAGE = Path("arch/x86/boot/bzImage")

# What kbuild prints per compiled or assembled file; host tools (HOSTCC) are not counted.
_OBJECT = re.compile(r"  (?:CC|AS) +(?P<file>\S+\.o)$")
# A full build of 6.12.117 as machine.config asks for it, gcc 12. Only the length of the very first
# progress bar depends on it.
_ESTIMATE = 1335
_MEMORY = "driver-objects.json"  # in the build directory: objects of its last full build

_COMPILER = re.compile(
    r"(?P<file>[^\s:][^:]*):(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)"
)
_SYMBOL = re.compile(r"(?P<text>.*(?:undefined reference to|multiple definition of).*)")
_OTHER = re.compile(
    r"(?P<text>.*No space left on device.*|\S*ld: .*|ERROR: .*|.*objtool: .*"
    r"|make\[?\d*\]?: \*\*\* (?!\[|Waiting).*)"
)
# Lines above an error that belong to it.
_CONTEXT = re.compile(
    r".*: (?:In function|At top level|In member)|In file included from|  +from "
    r"|.*ld: .*: in function"
)
_EXCERPT_LINES = 12


@dataclass(frozen=True)
class BuildOutcome:
    """A finished build: objects compiled this time, in how many seconds, and whether from empty."""

    objects: int
    seconds: float
    full: bool


def compile_kernel(make: Make, title: str, reporter: Reporter) -> BuildOutcome:
    """Make vmlinux and bzImage. Raises :class:`HostError` with the first compiler error."""
    present = _objects(make.build)
    changed_only = (make.build / VMLINUX).exists()
    expected, source = (None, "") if changed_only else _expected(make.build)
    reporter.step(title)
    done = 0

    def on_line(line: str) -> None:
        nonlocal done
        if match := _OBJECT.fullmatch(line):
            done += 1
            shown = done if expected is None else present + done
            total = None if expected is None else max(expected, shown)
            reporter.progress(shown, total, f"objects{source}  {match['file']}")

    began = time.monotonic()
    try:
        make(*TARGETS, on_line=on_line)
    except CommandFailed as failure:
        raise _explain(make, failure) from failure
    if present == 0:
        write_atomically(make.build / _MEMORY, json.dumps({"objects": done}))
    return BuildOutcome(done, time.monotonic() - began, full=present == 0)


def _objects(build: Path) -> int:
    """Objects an interrupted or earlier build left: those of the kernel, not of its host tools."""
    folders = (path for path in build.iterdir() if path.is_dir() and not path.is_symlink())
    kernel = (path for path in folders if path.name not in {"scripts", "tools"})
    return sum(1 for folder in kernel for _ in folder.rglob("*.o"))


def _expected(build: Path) -> tuple[int, str]:
    """How many objects a full build has: as last time, as a sibling's, or an estimate."""
    siblings = sorted(build.parent.glob(f"*/{_MEMORY}"), key=lambda path: path.stat().st_mtime)
    for path in (build / _MEMORY, *reversed(siblings)):
        try:
            return int(json.loads(path.read_text(encoding="utf-8"))["objects"]), (
                "" if path.parent == build else " (as another build had)"
            )
        except (OSError, ValueError, KeyError):
            continue
    return _ESTIMATE, " (total estimated)"


def _explain(make: Make, failure: CommandFailed) -> HostError:
    text = make.log.read_text(encoding="utf-8", errors="replace")
    found = first_error(text, make.tree)
    if found is None:
        failure.explain(f"build the kernel in {make.build}")
        return failure
    where, excerpt = found
    hint = "Fix this error first; the log has the others."
    if "No space left on device" in excerpt:
        hint = "Free some space and run the same command again: compiled objects are kept."
    return HostError(
        f"the kernel does not build: {where}", excerpt=excerpt, hint=hint, log=make.log
    )


def first_error(log: str, tree: Path) -> tuple[str, str] | None:
    """The first error in a build log: one line that says where and what, and its context.

    A compiler error wins over what the linker or make say of it. Paths inside the source tree
    are shown relative to it.
    """
    lines = log.replace(f"{tree}/", "").splitlines()
    for pattern in (_COMPILER, _SYMBOL, _OTHER):
        for number, line in enumerate(lines):
            if match := pattern.match(line):
                first = number
                while first > 0 and _CONTEXT.match(lines[first - 1]):
                    first -= 1
                shown = [*lines[first:number], *_block(lines, number)][:_EXCERPT_LINES]
                named = match.groupdict()
                where = f"{named['file']}:{named['line']}: " if "file" in named else ""
                return f"{where}{named['text'].strip()}", "\n".join(shown)
    return None


def _block(lines: list[str], number: int) -> list[str]:
    """The error line and the source excerpt gcc prints under it ("  123 |  code")."""
    block = [lines[number]]
    for line in lines[number + 1 :]:
        if not re.match(r" +\d* *\|", line):
            break
        block.append(line)
    return block
