# SPDX-License-Identifier: Apache-2.0
"""Which kernels a plan is run on: their versions of Linux, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from driver.errors import UserError
from driver.experiment.bases import FACTOR, across
from driver.experiment.definition import SERIES_NONE, Kernel
from driver.experiment.load import Definition
from driver.experiment.plan import Selection, guests, make_plan
from driver.kernel import series
from driver.kernel.sources import spec
from driver.kernel.sources.source import is_directory_spec, numeric
from driver.project import Project
from driver.results.manifest import Options


@dataclass(frozen=True)
class KernelSources:
    """What the kernels of a plan are made from, as ``--source`` values (None: Debian's package).

    ``patched`` is for arms that name a series. An arm without one is what they are compared with,
    and stays the unpatched kernel unless ``unpatched`` replaces it, too.
    """

    patched: str | None = None
    unpatched: str | None = None

    @classmethod
    def of_run(cls, options: Options) -> KernelSources:
        """Those that a run was asked for with."""
        return cls(options.source, options.unpatched_source)

    @property
    def given(self) -> list[str]:
        return [source for source in (self.patched, self.unpatched) if source is not None]

    def of(self, kernel: Kernel) -> str | None:
        return self.unpatched if kernel.series == SERIES_NONE else self.patched


def with_bases(
    project: Project, definition: Definition, options: Options
) -> tuple[Definition, Options]:
    """Settle on the versions of Linux, which are a factor of the experiment if they are several.

    Those that are asked for, or see :func:`_choose_bases`. Only the kernels count that the selected
    trials need: without its patched arms an experiment runs on any base.
    """
    only = {name: levels for name, levels in options.only.items() if name != FACTOR}
    selection = Selection(only=only, repeat=1, quick=options.quick)
    kernels = [request.kernel for request in guests(make_plan(definition.experiment, selection))]
    sources = KernelSources.of_run(options)
    bases = _choose_bases(project, kernels, sources, options.bases)
    return (
        replace(definition, experiment=across(definition.experiment, bases)),
        options.model_copy(update={"bases": bases}),
    )


def _choose_bases(
    project: Project, kernels: Iterable[Kernel], sources: KernelSources, asked: Sequence[str]
) -> list[str]:
    """The versions of Linux of a plan: those asked for, what a source is, or the newest that all
    its series exist for.

    Raises :class:`UserError` for a base that one of the series does not exist for.
    """
    names = dict.fromkeys(kernel.series for kernel in kernels if kernel.base is None)
    named = [series.load(project, name).name for name in names if name != SERIES_NONE]
    implied = [base for base in (spec.base_of_spec(each) for each in sources.given) if base]
    if sources.given and len(asked) > 1:
        raise UserError(
            f"a source is one kernel, and --base names {len(asked)}: {', '.join(asked)}",
            hint="Leave --source out, or name one base.",
        )
    wrong = next((base for base in asked if base not in implied), None)
    if implied and wrong:
        raise UserError(
            f"the source is Linux {implied[0]}, and --base says {wrong}",
            hint="Leave --base out: the source determines the version.",
        )
    chosen = list(dict.fromkeys(asked or implied[:1]))
    if chosen:
        if not is_directory_spec(sources.patched):
            for name in named:
                for base in chosen:
                    series.load(project, name, base)
        return chosen
    if not named:
        return [series.default_base(project)]
    for bases in (series.usual_bases, series.bases):
        common = set.intersection(*(set(bases(project, name)) for name in named))
        if common:
            break
    if not common:
        raise UserError(
            f"no version of Linux has all of the series {', '.join(named)}",
            hint="Give `base` to each `kernel` of the experiment.",
        )
    return [max(common, key=numeric)]
