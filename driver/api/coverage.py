# SPDX-License-Identifier: Apache-2.0
"""Which lines of a patch series a run has executed, if the instrument ``coverage`` watched it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from driver.api.decoding import DEBUG_INFO, kernel_of
from driver.api.runs import AnyRun, read_run
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.experiment.conclusion import Conclusion
from driver.instruments.coverage import COVERAGE
from driver.kernel.git import git
from driver.kernel.source_lines import Lines, source_lines
from driver.kernel.symbols import Symbols
from driver.results.guest_record import KernelProvenance, KernelRecord
from driver.results.observations import read_table
from driver.store import Store
from driver.text import counted

_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@")
# Files of a series that are not a part of the kernel.
_NO_CODE = ("Documentation/", "tools/")


@dataclass(frozen=True)
class FileCoverage:
    """The lines that a series adds to a file and that have code: all, and those executed."""

    path: str
    lines: tuple[int, ...]
    executed: frozenset[int]

    @property
    def missed(self) -> list[int]:
        """Lines that were never executed, ascending."""
        return [line for line in self.lines if line not in self.executed]

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return len(self.executed) / len(self.lines) if self.lines else 1.0


class Ranges:
    """Addresses that were executed, from ranges (first, end) in any order."""

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for first, end in sorted(ranges):
            if self._ends and first <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(first)
                self._ends.append(end)

    def touch(self, first: int, end: int) -> bool:
        """Whether any instruction from ``first`` to before ``end`` was executed."""
        index = bisect_right(self._starts, end - 1) - 1
        return index >= 0 and self._ends[index] > first


def series_coverage(run: AnyRun, *, workspace: Workspace | None = None) -> list[FileCoverage]:
    """The lines of the series of a run's kernel that its trials have executed, by file.

    Trials on kernels without a series do not count; a file without code of the series is left out.

    Raises :class:`UserError` if the run was not watched, if none or several of its kernels have a
    series, or if the kernel or its source is not in the cache any more.
    """
    place = workspace or default()
    conclusion = read_run(run, workspace=place)
    name = conclusion.directory.name
    table = read_table(conclusion.directory, COVERAGE)
    kernels = _kernels(conclusion, set(table["trial"]))
    if len(kernels) != 1:
        raise UserError(
            f"the run {name} watched {counted(len(kernels), 'kernel')} with a series",
            hint="Coverage is of one kernel: choose it with --only.",
        )
    ((kernel, trials),) = kernels.values()
    artifact = place.store.recall("kernel", kernel.digest)
    if artifact is None or kernel.provenance is None:
        raise UserError(
            f"the kernel of {name} is no longer in the cache",
            hint=f"Build it again: driver build kernel --series {kernel.series} "
            f"--variant {DEBUG_INFO}",
        )
    mine = table[table["trial"].isin(trials)]
    executed = Ranges(
        (int(first, 16), int(end, 16))
        for first, end in zip(mine["first"].astype(str), mine["end"].astype(str), strict=True)
    )
    added = added_lines(place.store, kernel.provenance)
    return coverage_of(Symbols.of_kernel(artifact.path).path, added, executed)


def coverage_of(
    vmlinux: Path, added: Mapping[str, Collection[int]], executed: Ranges
) -> list[FileCoverage]:
    """Which of the lines ``added`` to files of a kernel are among the addresses executed."""
    code = source_lines(vmlinux, added)
    found = [_file(path, lines, code[path], executed) for path, lines in added.items()]
    return [file for file in found if file.lines]


def _file(path: str, added: Collection[int], code: Lines, executed: Ranges) -> FileCoverage:
    lines = sorted(set(added) & code.keys())
    reached = (line for line in lines if any(executed.touch(*place) for place in code[line]))
    return FileCoverage(path, tuple(lines), frozenset(reached))


def _kernels(
    conclusion: Conclusion, trials: Collection[str]
) -> dict[str, tuple[KernelRecord, set[str]]]:
    """The kernels with a series of these trials, by digest, and the trials of each."""
    found: dict[str, tuple[KernelRecord, set[str]]] = {}
    for record in conclusion.records:
        kernel = kernel_of(conclusion.run.manifest, conclusion.experiment, record.factors)
        if kernel is None or kernel.provenance is None or record.id not in trials:
            continue
        if kernel.provenance.series.patches:
            found.setdefault(kernel.digest, (kernel, set()))[1].add(record.id)
    return found


def added_lines(store: Store, provenance: KernelProvenance) -> dict[str, list[int]]:
    """The lines that a kernel's series adds to its source, by file, as the last patch leaves them.

    Raises :class:`UserError` if the repository with the patches applied is not in the cache.
    """
    commit, patches = provenance.commit, len(provenance.series.patches)
    repository = _repository(store, commit)
    diff = git(repository, "diff", "--unified=0", f"{commit}~{patches}", commit).stdout
    found: dict[str, list[int]] = {}
    path = ""
    for line in diff.splitlines():
        if line.startswith("+++ "):
            path = line.removeprefix("+++ b/")
        elif match := _HUNK.match(line):
            start, count = int(match[1]), int(match[2] or 1)
            found.setdefault(path, []).extend(range(start, start + count))
    return {
        path: lines
        for path, lines in found.items()
        if path.endswith((".c", ".h")) and not path.startswith(_NO_CODE)
    }


def _repository(store: Store, commit: str) -> Path:
    for path in sorted((store.root / "sources").glob("*/linux")):
        if git(path, "cat-file", "-e", commit, check=False).status == 0:
            return path
    raise UserError(
        f"no source in the cache has the commit {commit[:12]} that the kernel was built from",
        hint="`driver build kernel` fetches and patches it again.",
    )
