# SPDX-License-Identifier: Apache-2.0
"""Building a kernel: everything that goes in names what comes out.

Build directories are kept per (source, series, variant) in the store's scratch area, so that a
changed patch or source file recompiles little; the artifact itself is a copy that never changes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver.artifacts import KernelArtifact
from driver.errors import UserError
from driver.kernel import source as sources
from driver.kernel import toolchain, usertree
from driver.kernel.fragment import MACHINE, Fragment, builtin, resolve
from driver.kernel.kbuild import BZIMAGE, VMLINUX, compile_kernel
from driver.kernel.kconfig import configure
from driver.kernel.make import Make
from driver.kernel.series import Patch, Series, default_series, load
from driver.kernel.source import Source
from driver.kernel.worktree import prepare
from driver.process import run
from driver.project import Project
from driver.report import Reporter
from driver.store import Artifact, Store, digest_of

# Raised when the same inputs would give another artifact: other make variables, other files.
_RECIPE = 1
_KIND = "kernel"


@dataclass(frozen=True)
class _Request:
    """What is to be built, fully read and identified."""

    source: Source
    series: Series
    variant: str | None
    fragments: tuple[Fragment, ...]
    compiler: Mapping[str, str]

    @property
    def name(self) -> str:
        """Stands for the build directory: a changed patch or source file keeps it."""
        source = self.source
        where = source.key if source.pristine else f"tree-{digest_of(str(source.tree))[:12]}"
        return "-".join(filter(None, (where, self.series.name, self.variant)))

    @property
    def title(self) -> str:
        parts = [f"Linux {self.source.version}", f"series {self.series.name}", self.variant]
        return ", ".join(filter(None, parts))

    @property
    def localversion(self) -> str:
        """Appended to the release, so that ``uname -r`` tells the arms of an experiment apart."""
        parts = filter(None, (self.series.title, self.variant))
        return "".join(f"-{part}" for part in parts)

    def inputs(self) -> dict[str, Any]:
        asked = {name: request.value for name, request in resolve(self.fragments).items()}
        return {
            "recipe": _RECIPE,
            "arch": "x86_64",
            "source": self.source.identity,
            "patches": [patch.digest for patch in self.patches],
            "config": digest_of(asked),
            "localversion": self.localversion,
            "compiler": dict(self.compiler),
        }

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The patches applied: a tree of the user's is built as it stands."""
        return self.series.patches if self.source.pristine else ()

    def provenance(self) -> dict[str, Any]:
        source, series = self.source, self.series
        return {
            "source": {
                "identity": source.identity,
                "version": source.version,
                "origin": {**source.origin},
            },
            "series": {
                "name": series.name,
                "patches": [{"name": part.name, "sha256": part.digest} for part in self.patches],
            },
            "variant": self.variant,
            "fragments": {
                part.name: hashlib.sha256(part.text.encode()).hexdigest() for part in self.fragments
            },
            "compiler": dict(self.compiler),
            "recipe": _RECIPE,
        }


def build_kernel(
    store: Store,
    project: Project,
    *,
    source: str | None = None,
    series: str | None = None,
    variant: str | None = None,
    jobs: int | None = None,
    reporter: Reporter,
) -> KernelArtifact:
    """The kernel of (source, series, variant), from the store or built now.

    ``source`` is a ``--source`` value (see :mod:`driver.kernel.source`), ``series`` a folder of
    ``kernel-patches/`` or ``"none"``, ``variant`` a further fragment (``"debug"``), ``jobs`` the
    number of compilers at once (all processors). A directory as ``source`` is built as it stands,
    so its default series is none; a series named with it contributes its configuration only,
    for a tree that carries those patches already.

    Raises :class:`UserError` when the request cannot be met as written (unknown series, patch
    that does not apply, symbol that does not hold) and :class:`~driver.errors.HostError` when this
    machine fails (no network, missing tools, compile error).
    """
    chosen = load(project, series or default_series(source))
    found = sources.obtain(store, source, chosen.base, reporter)
    chosen.check_base(found)
    if not found.pristine and chosen.patches:
        reporter.note(
            f"{found.tree} is built as it stands: of series {chosen.name} only the "
            "configuration is used"
        )
    extra = (builtin(variant),) if variant else ()
    request = _Request(
        source=found,
        series=chosen,
        variant=variant,
        fragments=(builtin(MACHINE), *chosen.fragments, *extra),
        compiler=toolchain.identify(),
    )
    artifact = store.get(
        _KIND, request.inputs(), lambda work: _build(store, request, work, jobs, reporter)
    )
    return _describe(artifact, request)


def _build(
    store: Store, request: _Request, work: Path, jobs: int | None, reporter: Reporter
) -> dict[str, Any]:
    toolchain.check_headers()
    with store.lock(
        f"build-{request.name}", waiting_for=f"another driver building {request.title}"
    ):
        tree = prepare(store, request.source, request.series, reporter)
        make = Make(
            tree=tree.path,
            build=store.scratch("kernel-build", request.name),
            jobs=jobs or len(os.sched_getaffinity(0)),
            localversion=request.localversion,
        )
        make.fresh_log()
        reporter.step(f"configuring {request.title}")
        configure(make, request.fragments, request.compiler)
        outcome = compile_kernel(make, f"compiling {request.title}", reporter)
        _check_unchanged(request.source)
        debug_info = _collect(make, work)
        release = (make.build / "include/config/kernel.release").read_text().strip()
    return {
        "release": release,
        "commit": tree.commit,
        "objects": outcome.objects,
        "seconds": round(outcome.seconds, 1),
        "full_build": outcome.full,
        "debug_info": debug_info,
    }


def _check_unchanged(source: Source) -> None:
    """A tree edited while it was compiled has no identity: refuse to file it under one."""
    if source.pristine:
        return
    now = usertree.obtain(source.tree)
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
    run(["objcopy", "--strip-debug", whole, work / "vmlinux"])
    debug_info = " .debug_info " in run(["readelf", "--sections", "--wide", whole]).stdout
    if debug_info:
        shutil.copyfile(whole, work / "vmlinux.debug")
    return debug_info


def _describe(artifact: Artifact, request: _Request) -> KernelArtifact:
    return KernelArtifact(
        digest=artifact.digest,
        release=artifact.facts["release"],
        vmlinux=artifact.path / "vmlinux",
        bzimage=artifact.path / "bzImage",
        config=artifact.path / "config",
        build_log=artifact.path / "build.log",
        provenance={**request.provenance(), **artifact.facts},
    )
