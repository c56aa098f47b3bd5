# SPDX-License-Identifier: Apache-2.0
"""Building a kernel: everything that goes in names what comes out.

Build directories are kept per (source, series, variant) in the store's scratch area, so that a
changed patch or source file recompiles little; the artifact itself is a copy that never changes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from driver.artifacts import KernelArtifact
from driver.errors import UserError
from driver.kernel import build_reuse, toolchain, worktree
from driver.kernel.build_request import OPTIONS_OFF, BuildRequest, make_request
from driver.kernel.build_reuse import BuildTree
from driver.kernel.kbuild import BZIMAGE, VMLINUX, compile_kernel
from driver.kernel.kconfig import configure
from driver.kernel.make import Make
from driver.kernel.sources import cache, directory
from driver.kernel.sources.source import KernelSource
from driver.kernel.worktree import WorkTree
from driver.process import explaining, run
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store

_KIND = "kernel"


def build_kernel(
    store: Store,
    project: Project,
    *,
    source: str | None = None,
    series: str | None = None,
    variant: str | None = None,
    base: str | None = None,
    jobs: int | None = None,
    reporter: Reporter,
) -> KernelArtifact:
    """The kernel of (source, series, variant), from the store or built now.

    ``source`` is a ``--source`` value (see :mod:`driver.kernel.sources.spec`), ``series`` a folder
    of ``kernel-patches/`` or ``"none"``, ``variant`` a further fragment (``"debug"``), ``base`` the
    version of Linux ("6.12"; by default what the source is, or else the newest that the series
    exists for), ``jobs`` the number of compilers at once (all processors). A directory as
    ``source`` is built as is, so its default series is none; a series named with it
    contributes its configuration only, for a tree that carries those patches already.

    Raises :class:`UserError` when the request cannot be met as written (unknown series, patch
    that does not apply, symbol that does not hold) and :class:`~driver.errors.HostError` when this
    machine fails (no network, missing tools, compile error).
    """
    request = make_request(
        store, project, source=source, series=series, variant=variant, base=base, reporter=reporter
    )
    artifact = store.get(
        _KIND, request.inputs(), lambda work: _build(store, request, work, jobs, reporter)
    )
    return KernelArtifact.stored(artifact, {**request.provenance(), **artifact.facts})


def processors() -> int:
    """How many compilers to run at once if nobody says."""
    return len(os.sched_getaffinity(0))


def build_tree(store: Store, request: BuildRequest) -> BuildTree:
    """Where a request is built, and from what."""
    srctree = worktree.place(store, request.source, request.series)
    return BuildTree(
        objtree=store.scratch("kernel-build") / request.name,
        srctree=srctree,
        repository=request.source.tree if request.source.commit else Path(),
        # Turning the options of a series off is no reason to compile everything else again.
        variant="" if request.variant == OPTIONS_OFF else request.variant or "",
        objtree_lock=f"build-{request.name}",
        srctree_lock="" if srctree == request.source.tree else f"tree-{srctree.name}",
        checkout=request.source.origin["path"]
        if request.source.origin["kind"] == "checkout"
        else "",
    )


def _build(
    store: Store, request: BuildRequest, work: Path, jobs: int | None, reporter: Reporter
) -> dict[str, Any]:
    toolchain.check_headers()
    place = build_tree(store, request)
    with place.held(store, request.title):
        tree, seeded = _tree(store, request, place, reporter)
        place.objtree.mkdir(parents=True, exist_ok=True)
        place.record()
        make = Make(
            tree=tree.path,
            build=place.objtree,
            jobs=jobs or processors(),
            localversion=request.localversion,
        )
        make.fresh_log()
        reporter.step(f"Configuring {request.title}")
        with explaining(f"configure {request.title}"):
            configure(make, request.fragments, request.compiler, cache.trees(store))
        outcome = compile_kernel(make, f"Compiling {request.title}", reporter)
        _check_unchanged(request.source)
        debug_info = _collect(make, work)
        release = (make.build / "include/config/kernel.release").read_text().strip()
    return {
        "release": release,
        "commit": tree.commit,
        "objects": outcome.objects,
        "seconds": round(outcome.seconds, 1),
        "full_build": outcome.full,
        "seeded_from": seeded,
        "debug_info": debug_info,
    }


def _tree(
    store: Store, request: BuildRequest, place: BuildTree, reporter: Reporter
) -> tuple[WorkTree, str | None]:
    """The source tree up to date, and the name of the build that this one begins with, if any."""
    source, series = request.source, request.series
    if not source.commit:
        return WorkTree(source.tree, ""), None
    commit = worktree.apply(store, source, series, reporter)
    build_reuse.forget_lost(store, place.objtree.parent)
    build_reuse.forget_unused(place)
    with build_reuse.sibling(store, place, commit) as found:
        like = found.srctree if found else None
        tree = worktree.prepare(store, source, series, commit, reporter, like=like)
        if found is None:
            return tree, None
        reporter.step(f"Copying what was compiled for {found.objtree.name}")
        with explaining(f"copy the build in {found.objtree}"):
            build_reuse.copy_objects(found, place)
        return tree, found.objtree.name


def _check_unchanged(source: KernelSource) -> None:
    """A tree edited while it was compiled has no identity: refuse to file it under one."""
    if source.commit:
        return
    now = directory.obtain(source.tree)
    if now.identity != source.identity:
        raise UserError(
            f"{source.tree} changed while it was being built",
            hint="Run the command again; objects that did not change are kept.",
        )


def _collect(make: Make, work: Path) -> bool:
    """Copy what a guest and a debugger need; whether the kernel has debug information.

    The vmlinux that QEMU loads keeps its symbols (for stack traces) and loses its debug
    sections, which are ten times its size; a kernel configured with them also keeps the whole
    file as vmlinux.debug.
    """
    shutil.copyfile(make.build / BZIMAGE, work / "bzImage")
    shutil.copyfile(make.build / ".config", work / "config")
    shutil.copyfile(make.build / "System.map", work / "System.map")
    shutil.copyfile(make.log, work / "build.log")
    whole = make.build / VMLINUX
    with explaining(f"strip {whole}"):
        run(["objcopy", "--strip-debug", whole, work / "vmlinux"])
        debug_info = " .debug_info " in run(["readelf", "--sections", "--wide", whole]).stdout
    if debug_info:
        shutil.copyfile(whole, work / "vmlinux.debug")
    return debug_info
