# SPDX-License-Identifier: Apache-2.0
"""What is to be run: the trials of an experiment, as its options choose them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast, get_args

from driver.api.bases import KernelSources, with_bases
from driver.api.decoding import DEBUG_INFO
from driver.api.guests import with_arguments
from driver.api.preparation import check
from driver.api.workspace import Workspace, default
from driver.errors import UserError
from driver.experiment.estimate import estimate
from driver.experiment.load import Definition, load
from driver.experiment.plan import GuestRequest, Selection, Trial, guests, make_plan
from driver.guest.accel import Requested
from driver.results.faults import check_kinds
from driver.results.manifest import Options
from driver.suggestion import did_you_mean
from driver.text import counted

__all__ = [
    "ExperimentPlan",
    "Options",
    "Requested",
    "check_plan",
    "plan_definition",
    "plan_experiment",
    "refuse_jobs_under_kvm",
    "words",
]

_log = logging.getLogger(__name__)

# Each guest is a process with threads, files and hundreds of MiB of memory.
MOST_JOBS = 256


@dataclass(frozen=True)
class ExperimentPlan:
    """What is to be run: an experiment, its trials in order, and what was asked for on top."""

    definition: Definition
    trials: Sequence[Trial]
    options: Options
    accel: Requested

    @property
    def guests(self) -> list[GuestRequest]:
        """The kinds of guest it needs, in order of first use."""
        return guests(self.trials)

    def estimate(self, *, workspace: Workspace | None = None) -> float | None:
        """Seconds for the trials alone, judged by an earlier run; None if there is none."""
        results = (workspace or default()).project.results
        return estimate(results, self.definition.name, self.trials, self.options.jobs)


def plan_experiment(
    name: str,
    options: Options,
    accel: Requested | None = None,
    *,
    workspace: Workspace | None = None,
) -> ExperimentPlan:
    """The trials of an experiment, of which nothing has been built or run.

    Raises :class:`UserError` for options that do not fit the experiment or each other.
    """
    place = workspace or default()
    return plan_definition(
        load(place.project.experiments, name), options, accel, workspace=workspace
    )


def plan_definition(
    definition: Definition,
    options: Options,
    accel: Requested | None = None,
    *,
    workspace: Workspace | None = None,
) -> ExperimentPlan:
    """As :func:`plan_experiment`, of an experiment that was read or made already."""
    place = workspace or default()
    definition, options = with_bases(place.project, definition, options)
    accel = _accelerator(accel or definition.experiment.accelerator)
    if accel == "kvm":
        refuse_jobs_under_kvm(options)
    for named, number in (("jobs", options.jobs), ("repeat", options.repeat)):
        if number is not None and number < 1:
            raise UserError(
                f"{named} must be at least 1, not {number}",
                hint=f"Leave {named} out, or give more.",
            )
    if options.jobs > MOST_JOBS:
        raise UserError(
            f"{options.jobs:,} guests at a time are more than any host can run",
            hint=f"--jobs takes 1 to {MOST_JOBS}; this host has "
            f"{counted(os.cpu_count() or 1, 'processor')}.",
        )
    check_kinds(options.allow_splat)
    chosen = Selection(
        only=options.only,
        repeat=options.repeat,
        quick=options.quick,
        base=options.base,
        instruments=options.instruments,
        variant=DEBUG_INFO if options.dump else None,
    )
    planned = ExperimentPlan(definition, make_plan(definition.experiment, chosen), options, accel)
    _log.info(
        "%s: %d trials in %d kinds of guest, under %s",
        definition.name,
        len(planned.trials),
        len(planned.guests),
        accel,
    )
    for request in planned.guests:
        machine = request.machine.machine("icount" if accel == "icount" else "tcg")
        with_arguments(machine, options.kernel_args, options.qemu_args)
    return planned


def check_plan(planned: ExperimentPlan, *, workspace: Workspace | None = None) -> None:
    """Raise for a series, variant or image that does not exist; build nothing."""
    place = workspace or default()
    check(place.store, place.project, planned.guests, KernelSources.of_run(planned.options))


def words(name: str, given: Iterable[object]) -> list[str]:
    """A list of words; a string alone would be taken apart into letters."""
    if isinstance(given, str):
        raise UserError(
            f"{name} is a list of words, not the text {given!r}",
            hint=f"Write {name}=[{given!r}].",
        )
    return [str(word) for word in given]


def _accelerator(name: str) -> Requested:
    """The accelerator of a name; ``exact`` is an alias of ``icount``."""
    found = "icount" if name == "exact" else name
    if found not in get_args(Requested):
        raise UserError(
            f"there is no accelerator {name!r}",
            hint=did_you_mean(name, get_args(Requested), "Possible"),
        )
    return cast(Requested, found)


def refuse_jobs_under_kvm(options: Options) -> None:
    if options.jobs > 1 and not options.force:
        raise UserError(
            f"under KVM the results contain times, and {options.jobs} guests at a time disturb "
            "each other",
            hint="Leave --jobs out, count with --accel tcg, or mark times as invalid with --force.",
        )
