# SPDX-License-Identifier: Apache-2.0
"""Test suites: run one on several kernels, and see where they differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from driver.api.cluster import ClusterOptions
from driver.api.experiments import run_plan
from driver.api.plans import ExperimentPlan, plan_definition
from driver.api.runs import find_run
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.guest.accel import Requested
from driver.kernel import series
from driver.results.directory import RunDirectory
from driver.results.manifest import Options, read_manifest
from driver.suite import definition, junit, ktap
from driver.suite.experiment import PROGRAM, experiment_of
from driver.suite.findings import Difference, ProgramReport, differences
from driver.suite.reports import kernel_of, read_reports

__all__ = [
    "Difference",
    "ProgramReport",
    "SuiteResult",
    "plan_suite",
    "read_suite_result",
    "run_suite",
    "suites",
]

# Rounds in which a difference must show again before it counts.
CONFIRM = 2


@dataclass(frozen=True)
class SuiteResult:
    """What a suite found: on the first kernel of its plan, and on each other one against that.

    ``runs`` are the run and, if something differed, the one that repeated it; ``unfinished`` is the
    number of their trials that have not been run.
    """

    runs: tuple[RunDirectory, ...]
    kernels: tuple[str, ...]
    reports: tuple[ProgramReport, ...]
    unfinished: int

    def differences(self, kernel: str) -> list[Difference]:
        """Where a kernel disagrees with the first one, in every round that both have run."""
        return list(differences(self.reports, self.kernels[0], kernel))

    @property
    def worse(self) -> list[Difference]:
        """The cases that do worse on any kernel than on the first."""
        others = self.kernels[1:]
        return [each for kernel in others for each in self.differences(kernel) if each.worse]

    def report(self, kernel: str, program: str) -> ProgramReport | None:
        """What a program reported on a kernel, in its last round."""
        found = [each for each in self.reports if (each.kernel, each.program) == (kernel, program)]
        return found[-1] if found else None

    @property
    def programs(self) -> list[str]:
        """The programs that were run, in the suite's order."""
        return list(dict.fromkeys(report.program for report in self.reports))

    def as_junit(self) -> str:
        """All programs on all kernels as JUnit's XML."""
        return junit.document(self.runs[0].name, self._groups())

    def as_ktap(self) -> str:
        """All programs on all kernels as KTAP."""
        return ktap.document(self._groups())

    def _groups(self) -> list[junit.Group]:
        last = {(each.kernel, each.program): each for each in self.reports}
        return [
            junit.Group(f"{each.kernel}.{each.program}", each.cases, each.seconds)
            for each in last.values()
        ]


def suites(*, workspace: Workspace | None = None) -> dict[str, str]:
    """The suites of the project with their descriptions."""
    folder = (workspace or default()).project.suites
    return {
        name: definition.load(folder, name).suite.description
        for name in definition.available(folder)
    }


def plan_suite(
    name: str,
    options: Options,
    accel: Requested | None = None,
    *,
    workspace: Workspace | None = None,
) -> ExperimentPlan:
    """The trials of a suite, one for each kernel and program; nothing has been built or run.

    ``name`` is a suite of the project or a folder. Raises :class:`UserError` for a mistake in it,
    or options that do not fit.
    """
    place = workspace or default()
    found = definition.load(place.project.suites, name)
    usual = series.load(place.project, series.DEFAULT).name if not found.suite.arms else ""
    tolerated = dict.fromkeys((*found.suite.tolerate, *options.allow_splat))
    return plan_definition(
        experiment_of(found, usual),
        options.model_copy(update={"allow_splat": tuple(tolerated)}),
        accel,
        workspace=place,
    )


def run_suite(
    planned: ExperimentPlan,
    *,
    confirm: int = CONFIRM,
    cluster: ClusterOptions | None = None,
    workspace: Workspace | None = None,
) -> SuiteResult:
    """Run a suite; what does worse than on the first kernel is run ``confirm`` more times.

    The repeats are a run of their own. A program that hangs or that a kernel does not survive is a
    result, not an error. ``cluster`` names hosts that run the programs; without it this one does.
    """
    place = workspace or default()
    first = run_plan(planned, cluster=cluster, workspace=place).directory
    result = read_suite_result([first], workspace=place)
    again = dict.fromkeys(each.program for each in result.worse)
    if not again or confirm < 1:
        return result
    place.reporter.note(f"running again what differs: {', '.join(again)}")
    options = planned.options.model_copy(
        update={"only": {**planned.options.only, PROGRAM: list(again)}, "repeat": confirm}
    )
    repeat = plan_definition(planned.definition, options, planned.accel, workspace=place)
    second = run_plan(repeat, cluster=cluster, workspace=place).directory
    return read_suite_result([first, second], workspace=place)


def read_suite_result(
    runs: Sequence[str | Path | RunDirectory], *, workspace: Workspace | None = None
) -> SuiteResult:
    """What one or more runs of a suite found.

    Raises :class:`UserError` for runs of something else.
    """
    found = [
        run if isinstance(run, RunDirectory) else find_run(run, workspace=workspace) for run in runs
    ]
    manifests = [read_manifest(run) for run in found]
    if len({manifest.experiment.digest for manifest in manifests}) > 1:
        raise UserError(
            "these runs are of different suites: "
            + ", ".join(
                f"{run.name} of {manifest.experiment.name}"
                for run, manifest in zip(found, manifests, strict=True)
            ),
            hint="Name a run and those that repeated some of it.",
        )
    reports: list[ProgramReport] = []
    rounds = 0
    for run, manifest in zip(found, manifests, strict=True):
        # Rounds of the second run come behind those of the first.
        reports += [
            replace(report, round=rounds + report.round) for report in read_reports(run, manifest)
        ]
        rounds += 1 + max(trial.repeat for trial in manifest.plan)
    plans = [trial for manifest in manifests for trial in manifest.plan]
    kernels = dict.fromkeys(kernel_of(trial.factors) for trial in plans)
    return SuiteResult(tuple(found), tuple(kernels), tuple(reports), len(plans) - len(reports))
