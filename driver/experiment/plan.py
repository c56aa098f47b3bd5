# SPDX-License-Identifier: Apache-2.0
"""From an experiment to the trials to run, in the order in which they are run.

The order interleaves what is compared: all arms of one combination of swept values stand side
by side, so that a drift of the host falls on every arm alike, and which arm goes first rotates
from combination to combination and from round to round.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from driver.counters import sources
from driver.counters.source import Scope
from driver.errors import UserError
from driver.experiment import expression
from driver.experiment.bases import FACTOR
from driver.experiment.definition import Arm, Command, Experiment, Kernel, Level, level_text
from driver.experiment.expression import ExpressionError
from driver.guest.job import Job, Write
from driver.guest.machine import Accel, Machine
from driver.instruments import instruments
from driver.suggestion import did_you_mean
from driver.text import counted

Factors = Mapping[str, Level]

# For counters to stand still before they are read: many grace periods, and short next to a trial.
_SETTLE_SECONDS = 2.0


@dataclass(frozen=True)
class MachineRequest:
    """The machine a trial asks for; sizes in MiB.

    Raises :class:`UserError` for one that cannot be built, before a kernel is built for it.
    """

    memory_mib: int
    nvdimm_mib: int
    vcpus: int
    kernel_args: tuple[str, ...]
    la57: bool

    def __post_init__(self) -> None:
        self.machine("tcg")

    def machine(self, accel: Accel) -> Machine:
        """The machine itself, once it is known what executes it."""
        return Machine(
            memory_mib=self.memory_mib,
            vcpus=self.vcpus,
            nvdimm_mib=self.nvdimm_mib,
            accel=accel,
            kernel_args=self.kernel_args,
            la57=self.la57,
        )


@dataclass(frozen=True)
class GuestRequest:
    """What must be booted and provisioned before a trial can be forked from it.

    ``files`` are pairs of a path in the guest and the folder that is copied there; ``instruments``
    are names of those that watch the forks.
    """

    kernel: Kernel
    image: str
    files: tuple[tuple[str, str], ...]
    machine: MachineRequest
    provision: Job | None
    instruments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trial:
    """One execution of the workload: ``sequence`` is its place in the plan, from 0.

    ``phases`` are those the workload must announce, in this order.
    """

    id: str
    sequence: int
    repeat: int
    factors: Factors
    guest: GuestRequest
    job: Job
    phases: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    """What the command line chose: levels by factor as text, rounds, whether it is quick, the
    version of Linux of all kernels (None where it is a factor, :mod:`driver.experiment.bases`),
    instruments for all trials, beyond those of the experiment, and the variant of kernels that have
    none of their own.
    """

    only: Mapping[str, Sequence[str]]
    repeat: int | None = None
    quick: bool = False
    base: str | None = None
    instruments: tuple[str, ...] = ()
    variant: str | None = None


def make_plan(experiment: Experiment, selection: Selection) -> list[Trial]:
    """All trials in order. Identities depend on factors and repeat alone, never on the order.

    Raises :class:`UserError` for a selection that names no factor or level of the experiment, or
    that leaves nothing to run.
    """
    _check_instruments(selection)
    levels = _levels(experiment, selection)
    rounds = selection.repeat or (1 if selection.quick else experiment.repeats)
    trials: list[Trial] = []
    for repeat in range(rounds):
        for factors in _round(experiment, levels, repeat):
            trials.append(_trial(experiment, factors, repeat, len(trials), selection))
    if not trials:
        raise UserError(
            "nothing to run: every selected combination is excluded",
            hint="Select others with --only. Excluded are "
            + "; ".join(
                f"{_together(item.levels)}, because {item.reason}" for item in experiment.exclude
            )
            + ".",
        )
    return trials


def guests(plan: Sequence[Trial]) -> list[GuestRequest]:
    """The different guests a plan needs, in order of first use."""
    return list(dict.fromkeys(trial.guest for trial in plan))


def _together(levels: Mapping[str, Sequence[Level]]) -> str:
    """Levels as --only takes them: ``kernel=baseline sharing=on``."""
    return " ".join(
        f"{name}={','.join(level_text(level) for level in found)}" for name, found in levels.items()
    )


def trial_id(factors: Factors, repeat: int) -> str:
    """A file name that says what the trial is: its levels, and its round counted from 1."""
    return "_".join([*(level_text(level) for level in factors.values()), f"r{repeat + 1}"])


def _check_instruments(selection: Selection) -> None:
    for name in selection.instruments:
        if name not in instruments():
            raise UserError(
                f"there is no instrument {name!r}",
                hint=did_you_mean(name, instruments(), "Possible"),
            )


def _levels(experiment: Experiment, selection: Selection) -> dict[str, list[Level]]:
    chosen = {name: list(factor.levels) for name, factor in experiment.factors.items()}
    if selection.quick:
        if experiment.quick is None:
            raise UserError(
                "the experiment has no quick plan",
                hint="Leave --quick out, or add a table [quick.levels] to experiment.toml.",
            )
        for name, wanted in experiment.quick.levels.items():
            chosen[name] = _pick(name, chosen[name], [str(level) for level in wanted])
    for name, texts in selection.only.items():
        if name not in experiment.factors:
            raise UserError(
                f"the experiment has no factor called {name!r}",
                hint=did_you_mean(name, experiment.factors),
            )
        # A level outside the quick subset may still be asked for by name.
        chosen[name] = _pick(name, list(experiment.factors[name].levels), texts)
    return chosen


def _pick(name: str, levels: Sequence[Level], texts: Sequence[str]) -> list[Level]:
    known = {level_text(level): level for level in levels}
    for text in texts:
        if text.lower() not in known and text not in known:
            raise UserError(
                f"the factor {name} has no level {text!r}", hint=did_you_mean(text, known)
            )
    wanted = {text if text in known else text.lower() for text in texts}
    return [level for text, level in known.items() if text in wanted]


def _round(
    experiment: Experiment, levels: Mapping[str, Sequence[Level]], repeat: int
) -> Iterator[Factors]:
    compared = [name for name in levels if experiment.factors[name].arms]
    swept = [name for name in levels if not experiment.factors[name].arms]
    arms = list(itertools.product(*(levels[name] for name in compared)))
    for block, values in enumerate(itertools.product(*(levels[name] for name in swept))):
        turn = (block + repeat) % len(arms)
        for arm in arms[turn:] + arms[:turn]:
            found = dict(zip(compared, arm, strict=True)) | dict(zip(swept, values, strict=True))
            factors = {name: found[name] for name in levels}
            if not _excluded(experiment, factors):
                yield factors


def _excluded(experiment: Experiment, factors: Factors) -> bool:
    """Levels are compared as text: that is how they are checked, and chosen."""
    here = {name: level_text(level) for name, level in factors.items()}
    return any(
        all(here[name] in map(level_text, levels) for name, levels in item.levels.items())
        for item in experiment.exclude
    )


def _trial(
    experiment: Experiment, factors: Factors, repeat: int, sequence: int, selection: Selection
) -> Trial:
    arms = [
        (name, experiment.factors[name].arms[str(level)])
        for name, level in factors.items()
        if experiment.factors[name].arms
    ]
    try:
        _check_conditions(experiment, factors)
        return Trial(
            id=trial_id(factors, repeat),
            sequence=sequence,
            repeat=repeat,
            factors=factors,
            guest=_guest(experiment, factors, arms, selection),
            job=_job(experiment, factors, [arm for _, arm in arms]),
            phases=tuple(
                phase.name
                for phase in experiment.workload.phases
                if expression.truth(phase.when, factors)
            ),
        )
    except ExpressionError as error:
        raise UserError(
            f"trial {trial_id(factors, repeat)}: {error}",
            hint="Correct the expression; docs/reference/experiment.md says what it may use.",
        ) from error


def _check_conditions(experiment: Experiment, factors: Factors) -> None:
    """`where` is evaluated after the last trial; a mistake in it is reported now."""
    for item in (*experiment.checks, *experiment.fits, *experiment.predictions):
        expression.truth(item.where, factors)


def _guest(
    experiment: Experiment,
    factors: Factors,
    arms: Sequence[tuple[str, Arm]],
    selection: Selection,
) -> GuestRequest:
    kernels = [(name, arm.kernel) for name, arm in arms if arm.kernel is not None]
    if len(kernels) != 1 or kernels[0][1] is None:
        raise UserError(
            f"the combination {_together({name: [level] for name, level in factors.items()})} "
            f"names {counted(len(kernels), 'kernel')} instead of one",
            hint="Give `kernel` to every arm of exactly one factor.",
        )
    machine, kernel = experiment.machine, kernels[0][1]
    if kernel.base is None:
        varied = str(factors[FACTOR]) if experiment.factors.get(FACTOR) else selection.base
        kernel = kernel.model_copy(update={"base": varied})
    watchers = _instruments(experiment, factors, selection)
    variants = {selection.variant, *(instruments()[name].variant for name in watchers)} - {None}
    if kernel.variant is None and variants:
        (variant,) = variants  # instruments agree: there is one kind of debug information
        kernel = kernel.model_copy(update={"variant": variant})
    return GuestRequest(
        kernel=kernel,
        image=experiment.image,
        files=tuple(sorted(experiment.files.items())),
        machine=MachineRequest(
            memory_mib=round(expression.number(machine.memory_mib, factors)),
            nvdimm_mib=round(expression.number(machine.nvdimm_mib, factors)),
            vcpus=round(expression.number(machine.vcpus, factors)),
            kernel_args=machine.kernel_args,
            la57=machine.la57,
        ),
        provision=_command(experiment.provision, factors) if experiment.provision else None,
        instruments=watchers,
    )


def _instruments(experiment: Experiment, factors: Factors, selection: Selection) -> tuple[str, ...]:
    """Names of the instruments that watch a trial, each once, in alphabetical order."""
    own = [
        name
        for name, table in experiment.instruments.items()
        if expression.truth(table.when, factors)
    ]
    return tuple(sorted({*own, *selection.instruments}))


def _command(command: Command, factors: Factors) -> Job:
    timeout = float(expression.number(command.timeout, factors))
    if not timeout > 0:
        raise ExpressionError(
            f"`{command.timeout}` is {timeout:g}: `{command.argv[0]}` needs a positive timeout"
        )
    return Job(
        argv=tuple(expression.render(word, factors) for word in command.argv), timeout=timeout
    )


def _job(experiment: Experiment, factors: Factors, arms: Sequence[Arm]) -> Job:
    command = _command(experiment.workload, factors)
    wanted = [sources()[name] for name in experiment.sources.keep]
    return Job(
        argv=(
            *command.argv,
            *(expression.render(word, factors) for arm in arms for word in arm.arguments),
        ),
        setup=tuple(
            Write(write.path, expression.render(write.text, factors))
            for arm in arms
            for write in arm.writes
            if expression.truth(write.when, factors)
        ),
        refresh=tuple(dict.fromkeys(write for source in wanted for write in source.refresh)),
        sources=tuple(source.path for source in wanted if source.scope is Scope.SYSTEM),
        worker_sources=tuple(source.path for source in wanted if source.scope is Scope.PROCESS),
        worker_limit=experiment.sources.workers,
        settle=_SETTLE_SECONDS if any(source.refresh for source in wanted) else 0.0,
        timeout=command.timeout,
    )
