# SPDX-License-Identifier: Apache-2.0
"""A kernel with all mutants in it: generated from the series, never committed as a patch."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from driver.artifacts import KernelArtifact
from driver.kernel import build_kernel
from driver.kernel import series as all_series
from driver.kernel.git import git
from driver.kernel.sources.spec import obtain
from driver.kernel.worktree import apply
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store
from mutation import schemata
from mutation.mutants import Mutant


@dataclass(frozen=True)
class Patched:
    """The series as a commit of a repository of the driver's."""

    repository: Path
    commit: str

    def read(self, mutants: Sequence[Mutant]) -> dict[str, str]:
        """The texts of all files that the mutants change."""
        wanted = {site.file for mutant in mutants for site in mutant.sites}
        return {
            name: git(self.repository, "show", f"{self.commit}:{name}").stdout
            for name in sorted(wanted | schemata.plumbing_files())
        }


def patched(store: Store, project: Project, name: str, base: str, reporter: Reporter) -> Patched:
    """Series ``name`` of the project, applied to the source the driver builds it from."""
    series = all_series.load(project, name, base)
    source = obtain(store, None, series.base, reporter)
    return Patched(source.tree, apply(store, source, series, reporter))


def build(
    store: Store,
    project: Project,
    name: str,
    base: str,
    mutants: Sequence[Mutant],
    *,
    variant: str | None = None,
    reporter: Reporter,
) -> KernelArtifact:
    """The kernel of series ``name`` with all mutants, of which a parameter chooses one.

    The tree it is built from is kept, so that a changed mutant recompiles one file.
    """
    found = patched(store, project, name, base, reporter)
    tree = store.scratch("mutation") / f"{name}-{base}"
    with store.lock(f"mutation-{name}-{base}", waiting_for="another mutation check"):
        check_out(found, tree)
        for file, text in schemata.generate(found.read(mutants), mutants).items():
            if (tree / file).read_text(encoding="utf-8") != text:
                (tree / file).write_text(text, encoding="utf-8")
        return build_kernel(
            store, project, source=str(tree), series=name, variant=variant, reporter=reporter
        )


def check_out(found: Patched, tree: Path) -> None:
    """Bring the tree to the commit; what is unchanged since last time keeps its time stamp."""
    if not (tree / ".git").is_dir():
        shutil.rmtree(tree, ignore_errors=True)
        git(found.repository, "clone", "--quiet", "--shared", "--no-checkout", ".", tree)
    if git(tree, "rev-parse", "HEAD", check=False).stdout.strip() != found.commit:
        git(tree, "checkout", "--quiet", "--force", "--detach", found.commit)
