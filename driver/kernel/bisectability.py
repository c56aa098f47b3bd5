# SPDX-License-Identifier: Apache-2.0
"""Building a series one patch at a time, so that a later `git bisect` never meets a broken kernel.

It is done in a throw-away copy of a finished build (see :mod:`driver.kernel.build_reuse`), because
going back and forth between patches would leave the build directory of the series with a day's work
to do again. From the last patch backwards, so that each step changes what one patch changes.

What is built at each step is every object made from a C file that any patch of the series touches:
those are the users of what the series declares, so a declaration that comes too late, an unused
function, or a stub that is missing shows. An object outside the series could break only by a header
that is wrong for a while and right in the end; ``full`` builds the whole kernel instead and finds
that too.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from driver.kernel import build_reuse, worktree
from driver.kernel.build import processors
from driver.kernel.build_request import BuildRequest
from driver.kernel.build_reuse import BuildTree
from driver.kernel.git import git
from driver.kernel.kbuild import TARGETS, VMLINUX, compile_kernel, first_error
from driver.kernel.kconfig import configure
from driver.kernel.make import Make
from driver.kernel.sources.source import KernelSource
from driver.process import CommandFailed, explaining
from driver.progress import Reporter
from driver.store import Store

_NOT_BUILT_HERE = re.compile(r"No rule to make target '([^']+\.o)'")
_WARNING = re.compile(r"^.*?\bwarning: .*$", re.M)


@dataclass(frozen=True)
class Steps:
    """``commits`` are the base, then the kernel after each patch; ``names`` those of the patches.

    ``objects`` are those of the series that this configuration has, relative to the build
    directory; ``last`` is what is wrong with them after the last patch, or nothing.
    """

    make: Make
    source: KernelSource
    commits: tuple[str, ...]
    names: tuple[str, ...]
    objects: tuple[str, ...]
    config: str
    reporter: Reporter
    last: str = ""

    def walk(self, title: str, *, full: bool) -> Iterator[tuple[str, str]]:
        """Build after each patch; yields the patches that fail, and why."""
        self.reporter.step(title)
        if self.last:
            yield self.names[-1], self.last
        total = len(self.names) - 1
        for done, index in enumerate(range(total, 0, -1), start=1):
            text = self.build(self.commits[index], TARGETS if full else self.objects)
            if text:
                yield self.names[index - 1], text
            self.reporter.progress(done, total, self.names[index - 1])

    def build(self, commit: str, targets: tuple[str, ...], *flags: str) -> str:
        """Make targets at a commit; what is wrong, or nothing. Warnings are wrong."""
        tree = self.make.tree
        worktree.move_to(tree, commit)
        (self.make.build / ".config").write_text(self.config, encoding="utf-8")
        self.make.fresh_log()
        self.make("olddefconfig")
        wanted = [name for name in targets if name in TARGETS or _source_of(tree, name)]
        while wanted:
            try:
                self.make("--keep-going", *flags, *wanted)
                break
            except CommandFailed:
                log = self.log()
                # Its line in the Makefile, or its option, comes with a later patch.
                absent = set(_NOT_BUILT_HERE.findall(log)) & set(wanted)
                if not absent:
                    found = first_error(log, tree)
                    return "\n".join(found) if found else log[-2000:]
                wanted = [name for name in wanted if name not in absent]
                self.make.fresh_log()
        return "\n".join(_WARNING.findall(self.log()))

    def log(self) -> str:
        """What make printed, with paths inside the tree relative to it."""
        with contextlib.suppress(FileNotFoundError):
            text = self.make.log.read_text(encoding="utf-8", errors="replace")
            return text.replace(f"{self.make.tree}/", "")
        return ""


@contextmanager
def stepping(
    store: Store, request: BuildRequest, built: BuildTree, jobs: int | None, reporter: Reporter
) -> Iterator[Steps]:
    """A copy of a finished build to step through the series in; gone afterwards."""
    source = request.source
    last = worktree.apply(store, source, request.series, reporter)
    start = git(source.tree, "rev-parse", source.commit).stdout.strip()
    commits = git(source.tree, "rev-list", "--reverse", f"{start}..{last}").stdout.split()
    with tempfile.TemporaryDirectory(prefix="steps-", dir=store.scratch()) as folder:
        copy = replace(built, srctree=Path(folder) / "tree", objtree=Path(folder) / "build")
        make = Make(copy.srctree, copy.objtree, jobs or processors(), request.localversion)
        try:
            with built.held(store, request.title):
                reporter.step(f"Copying the build of {request.title}")
                _copy(source, last, built, copy)
            with explaining(f"configure {request.title}"):
                configure(make, request.fragments, request.compiler)
            if not (copy.objtree / VMLINUX).exists():  # the cache has the kernel, not what made it
                compile_kernel(make, f"Compiling {request.title}", reporter)
            steps = Steps(
                make=make,
                source=source,
                commits=(start, *commits),
                names=tuple(patch.name for patch in request.patches),
                objects=tuple(_objects(source, start, last)),
                config=(copy.objtree / ".config").read_text(encoding="utf-8"),
                reporter=reporter,
            )
            yield _built_anew(steps, last)
        finally:
            shutil.rmtree(copy.objtree, ignore_errors=True)
            worktree.remove(source, copy.srctree)


def _copy(source: KernelSource, commit: str, built: BuildTree, copy: BuildTree) -> None:
    usable = build_reuse.is_usable(built)
    worktree.add(source, copy.srctree, commit, like=built.srctree if usable else None)
    if usable:
        build_reuse.copy_objects(built, copy)
    else:
        copy.objtree.mkdir()


def _built_anew(steps: Steps, last: str) -> Steps:
    """The objects that come back when all are taken away are those that this configuration has.

    By the whole kernel, since kbuild compiles also what is not configured if it is asked for by
    name. And a compiler warns only when it compiles.
    """
    build = steps.make.build
    for name in steps.objects:
        (build / name).unlink(missing_ok=True)
    steps.reporter.step("Compiling the objects of the series")
    text = steps.build(last, TARGETS)
    present = tuple(name for name in steps.objects if (build / name).is_file())
    return replace(steps, objects=present, last=text)


def _objects(source: KernelSource, start: str, last: str) -> list[str]:
    """The objects of the C files that the series touches, whether configured or not."""
    log = ("log", "--format=", "--name-only", "--no-renames", f"{start}..{last}")
    names = set(git(source.tree, *log).stdout.splitlines())
    objects = (re.sub(r"\.[cS]$", ".o", name) for name in names if name.endswith((".c", ".S")))
    # tools/ and samples/ are programs with Makefiles of their own.
    return sorted(name for name in objects if not name.startswith(("tools/", "samples/")))


def _source_of(tree: Path, target: str) -> bool:
    stem = target.removesuffix(".o")
    return any((tree / f"{stem}{suffix}").is_file() for suffix in (".c", ".S"))
