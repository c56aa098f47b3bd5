# SPDX-License-Identifier: Apache-2.0
"""What a maintainer checks in a series before reading it.

checkpatch
    the kernel's own ``scripts/checkpatch.pl --strict``, on each patch.
options
    the whole kernel, with what the series' Kconfig fragments turn on, and with all of it off.
sparse
    if it is installed: what it says of the files of the series that it does not say of the base.
steps
    each patch on top of those before it, with the options on and off (see
    :mod:`driver.kernel.bisectability`).
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from driver.errors import HostError
from driver.kernel import bisectability, worktree
from driver.kernel.build import build_kernel, build_tree
from driver.kernel.build_request import OPTIONS_OFF, BuildRequest, make_request, turned_off
from driver.process import run
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store
from driver.text import counted

_SPARSE = "sparse"
_SPARSE_MESSAGE = re.compile(r"^(\S+?):\d+:\d+: (?:warning|error): (.*)$", re.M)
# checkpatch.pl begins each complaint with its kind and ends it with an empty line.
_COMPLAINT = re.compile(r"^(?:ERROR|WARNING|CHECK):.*?(?=^$|\Z)", re.M | re.S)


@dataclass(frozen=True)
class Complaint:
    """``patch`` is a file name, or the whole series' name; ``check`` what was checked."""

    patch: str
    check: str
    text: str


@dataclass
class Report:
    """What was done, in words, and everything that was found."""

    series: str
    done: list[str] = field(default_factory=list)
    complaints: list[Complaint] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        complaints = [vars(complaint) for complaint in self.complaints]
        return {"series": self.series, "done": self.done, "complaints": complaints}


def review(
    store: Store,
    project: Project,
    *,
    series: str,
    base: str | None,
    build: bool,
    full: bool,
    jobs: int | None,
    reporter: Reporter,
) -> Report:
    """Check a series; what is wrong with it is in the report, not raised.

    Raises :class:`~driver.errors.UserError` when the series cannot be read or does not apply.
    """
    requests = [
        make_request(store, project, source=base, series=series, variant=variant, reporter=reporter)
        for variant in (None, OPTIONS_OFF)
    ]
    if not turned_off(requests[0].series).text:
        del requests[1]
    report = Report(series)
    commit = worktree.apply(store, requests[0].source, requests[0].series, reporter)
    _checkpatch(requests[0], commit, report, reporter)
    if not build:
        return report
    built = []
    for request in requests:
        build_it = partial(
            build_kernel, store, project, source=base, series=series, variant=request.variant
        )
        text = _complaint_of(partial(build_it, jobs=jobs, reporter=reporter))
        what = "options off" if request.variant else "options on"
        if text:
            report.complaints.append(Complaint(series, f"build, {what}", text))
        else:
            built.append(request)
            report.done.append(f"the whole kernel builds, {what}")
    for request in built:
        what = "options off" if request.variant else "options on"
        _steps(store, request, what, report, full=full, jobs=jobs, reporter=reporter)
    return report


def _checkpatch(request: BuildRequest, commit: str, report: Report, reporter: Reporter) -> None:
    """Run it as it is in the tree the series makes, deaf to the user's .checkpatch.conf."""
    source, series = request.source, request.series
    reporter.step("Running checkpatch.pl --strict")
    with tempfile.TemporaryDirectory(prefix="check-", dir=source.tree.parent) as folder:
        tree = Path(folder) / "tree"
        worktree.add(source, tree, commit, like=source.tree)
        for number, patch in enumerate(series.patches, start=1):
            mail = Path(folder) / patch.name
            mail.write_bytes(patch.content)
            checkpatch = run(
                ["perl", "scripts/checkpatch.pl", "--strict", "--no-summary", "--color=never",
                 "--root", tree, mail],
                cwd=tree, env={"HOME": folder, "LC_ALL": "C"}, check=False,
            )  # fmt: skip
            output = checkpatch.stdout + checkpatch.stderr
            found = [match[0].strip() for match in _COMPLAINT.finditer(output)]
            if checkpatch.status != 0 and not found:
                found = [output.strip() or "checkpatch.pl failed and said nothing"]
            report.complaints += [Complaint(patch.name, "checkpatch", text) for text in found]
            reporter.progress(number, len(series.patches), patch.name)
        worktree.remove(source, tree)
    report.done.append(f"checkpatch.pl --strict on {counted(len(series.patches), 'patch')}")


def _steps(
    store: Store,
    request: BuildRequest,
    what: str,
    report: Report,
    *,
    full: bool,
    jobs: int | None,
    reporter: Reporter,
) -> None:
    with bisectability.stepping(
        store, request, build_tree(store, request), jobs, reporter
    ) as steps:
        if _sparse_present() and not request.variant:
            for text in _sparse_news(steps, reporter):
                report.complaints.append(Complaint(request.series.name, "sparse", text))
            report.done.append("sparse on the files of the series, against the base")
        for patch, text in steps.walk(f"Building each patch, {what}", full=full):
            report.complaints.append(Complaint(patch, f"build, {what}", text))
    scope = "the whole kernel" if full else f"{counted(len(steps.objects), 'object')} of the series"
    after = f"each of {counted(len(request.patches), 'patch')}"
    report.done.append(f"{scope}, after {after}, {what}")
    if not _sparse_present() and not request.variant:
        report.done.append("sparse is not installed: not run")


def _complaint_of(build: Callable[[], object]) -> str:
    try:
        build()
    except HostError as error:
        return "\n".join(filter(None, (error.message, error.excerpt)))
    return ""


def _sparse_present() -> bool:
    """Whether sparse is installed."""
    return shutil.which(_SPARSE) is not None


def _sparse_news(steps: bisectability.Steps, reporter: Reporter) -> list[str]:
    """``file: message`` for each complaint about the last patch that the base does not have.

    Line numbers are left out of the comparison: every patch moves them.
    """
    reporter.step("Running sparse on the base and on the series")
    said: list[Counter[str]] = []
    for commit in (steps.commits[0], steps.commits[-1]):
        # C=2: every file is checked, whether or not it has to be compiled.
        steps.build(commit, steps.objects, "C=2", f"CHECK={_SPARSE}")
        said.append(Counter(": ".join(found) for found in _SPARSE_MESSAGE.findall(steps.log())))
        reporter.progress(len(said), 2, commit[:12])
    return sorted((said[1] - said[0]).elements())
