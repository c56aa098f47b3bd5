# SPDX-License-Identifier: Apache-2.0
"""The schema of ``experiment.toml``, the file a person writes.

Here is only what each table may contain; that the parts fit together is
:mod:`driver.experiment.consistency`, and the messages for a typo are
:mod:`driver.experiment.load`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field

from driver.experiment import expression
from driver.text import as_written
from driver.validity import UNITS

SERIES_NONE = "none"
# Levels become parts of trial identities, which are file names joined with "_".
_LEVEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_NAME = re.compile(r"[a-z][a-z0-9_]*")

Level = bool | int | float | str


def level_text(level: Level) -> str:
    """A level as written in names and on the command line: ``true``, not ``True``."""
    return str(level).lower() if isinstance(level, bool) else str(level)


def _level(value: Any) -> Level:
    if not isinstance(value, (bool, int, float, str)) or not _LEVEL.fullmatch(str(value)):
        raise ValueError(f"{as_written(value)} cannot be a level: letters, digits and . + - only")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not a name: lower-case letters, digits and _ only")
    return value


def _base(value: str) -> str:
    if not re.fullmatch(r"\d+\.\d+", value):
        raise ValueError(f"{value!r} is not a version of Linux such as 6.12")
    return value


def _expression(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, (int, float, str)):
        raise ValueError(f"{as_written(value)} is neither a number nor an expression")  # noqa: TRY004
    text = str(value)
    expression.parse(text)
    return text


def _template(value: str) -> str:
    expression.parse_template(value)
    return value


def _unit(value: str) -> str:
    if value not in UNITS and not value.endswith("s"):
        raise ValueError(
            f"{value!r} is not a unit: write {', '.join(sorted(UNITS))} or a plural noun"
        )
    return value


def _accelerator(value: Any) -> Any:
    """``exact`` is the name that ``icount`` had; runs that were kept still say it."""
    return "icount" if value == "exact" else value


RequestedAccelerator = Annotated[
    Literal["auto", "tcg", "icount", "kvm"], BeforeValidator(_accelerator)
]
LevelField = Annotated[Any, BeforeValidator(_level)]
Name = Annotated[str, AfterValidator(_name)]
Expression = Annotated[str, BeforeValidator(_expression)]
Template = Annotated[str, AfterValidator(_template)]
Unit = Annotated[str, AfterValidator(_unit)]
Text = Annotated[str, Field(min_length=1)]


class Table(BaseModel):
    """A table of the file: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kernel(Table):
    """Which kernel an arm boots: a folder of ``kernel-patches/`` (or none), and a variant.

    ``base`` is for an arm that is about one version of Linux ("6.12"); others leave it to
    ``--base``.
    """

    series: str
    variant: str | None = None
    base: Annotated[str, AfterValidator(_base)] | None = None


class GuestWrite(Table):
    """A write to a file in the guest before the workload starts, if ``when`` holds."""

    path: str
    text: Template
    when: Expression = "true"


class Arm(Table):
    """What one level of a factor does to a trial."""

    label: str = ""
    kernel: Kernel | None = None
    writes: tuple[GuestWrite, ...] = ()
    arguments: tuple[Template, ...] = ()


class Factor(Table):
    """Something that is varied: named ``arms`` that are compared, or ``values`` that are swept."""

    label: str = ""
    unit: str = ""
    values: tuple[LevelField, ...] = ()
    arms: Mapping[str, Arm] = {}

    @property
    def levels(self) -> tuple[Level, ...]:
        return tuple(self.arms) or self.values


class MachineTable(Table):
    """The emulated machine. Sizes in MiB; each may be an expression over the factors."""

    memory_mib: Expression
    nvdimm_mib: Expression
    vcpus: Expression = "1"
    kernel_args: tuple[str, ...] = ()
    la57: bool = False


class Command(Table):
    """A command in the guest, and the seconds after which it counts as hung."""

    argv: Annotated[tuple[Template, ...], Field(min_length=1)]
    timeout: Expression = "60"


class Phase(Table):
    """A phase the workload announces, in those trials for which ``when`` holds.

    Most are always announced: then the name alone may be written for it.
    """

    name: Text
    when: Expression = "true"


def _phase(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Workload(Command):
    """The command that is measured, and the phases it announces, in order."""

    phases: Annotated[tuple[Annotated[Phase, BeforeValidator(_phase)], ...], Field(min_length=1)]


class Sources(Table):
    """What is sampled at every phase: metrics to keep, by source, as patterns.

    Everything sampled is kept raw; the patterns choose what enters ``samples.csv``. Per-process
    sources are read for the first ``workers`` processes of a phase (0: all of them).
    """

    keep: Mapping[str, tuple[str, ...]]
    workers: Annotated[int, Field(ge=0)] = 1


class InstrumentTable(Table):
    """An instrument that watches those trials for which ``when`` holds."""

    when: Expression = "true"


class Metric(Table):
    """A number derived from the samples of one trial."""

    value: Expression
    unit: Unit
    label: str = ""


class Assertion(Table):
    """A measured value compared with an expected one.

    Two numbers agree if they differ by no more than ``relative`` times ``scale`` (the expected
    value unless given) plus ``absolute``. With ``<=`` and ``>=`` the same slack is allowed on the
    wrong side. ``where`` says for which trials it is made.
    """

    name: Name
    claim: Text
    where: Expression = "true"
    measured: Expression
    expected: Expression
    relation: Literal["==", "<=", ">="] = "=="
    relative: Annotated[float, Field(ge=0)] = 0.0
    absolute: Expression = "0"
    scale: Expression | None = None
    unit: Unit


class Fit(Assertion):
    """The slope of a straight line through the trials of each group, compared with theory.

    ``measured`` is plotted against ``against``; the trials are grouped by the factors in ``by``,
    and ``expected`` may use only those.
    """

    against: Expression
    by: tuple[str, ...]


class Prediction(Assertion):
    """An assertion about nature: refuting it is a result.

    With ``against`` it is about slopes, as a :class:`Fit` is. ``finding`` says what was found from
    a refutation; it explains the prediction, which stays.
    """

    against: Expression | None = None
    by: tuple[str, ...] = ()
    finding: str = ""


class Exclusion(Table):
    """A combination of levels that makes no sense, and why."""

    reason: Text
    levels: Mapping[str, tuple[LevelField, ...]]


class Quick(Table):
    """A subset of the levels, small enough for every CI run."""

    levels: Mapping[str, tuple[LevelField, ...]]


class Retry(Table):
    """How often a trial is tried, and after which verdicts it is tried again."""

    attempts: Annotated[int, Field(ge=1)] = 2
    after: tuple[Literal["lost", "timeout", "workload", "splat"], ...] = ("lost", "timeout")


class SummaryTable(Table):
    """A table for the terminal: one metric, rows by some factors, columns by another."""

    title: Text
    metric: str
    rows: tuple[str, ...]
    columns: str


CaseFormat = Literal["tap", "ktap", "junit", "status"]


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is not a regular expression: {error}") from None
    return value


class Cases(Table):
    """How test cases are read from what the workload prints.

    ``format`` is what it prints: ``tap`` (13 and 14), ``ktap``, ``junit`` (also called xunit), or
    ``status`` where the exit status is all there is; ``formats`` are those of other programs, by
    level of the factor ``program``. ``skip_status`` is the exit status of a program that skipped
    everything (4 for the kernel's selftests, 77 for automake). What matches ``volatile`` in the
    name of a case (addresses, times) is replaced by N, as a case is known by its name.
    """

    format: CaseFormat
    formats: Mapping[str, CaseFormat] = {}
    skip_status: tuple[int, ...] = (4,)
    volatile: tuple[Annotated[str, AfterValidator(_pattern)], ...] = (r"0x[0-9a-f]+",)


class Experiment(Table):
    """``experiment.toml``.

    ``accelerator`` is what its numbers need, for when ``--accel`` does not say: ``icount`` where
    instructions are counted. ``digest_nvdimm`` is for an experiment about what trials store; it
    takes the digest of the NVDIMM after each trial under icount, as ``--digest-nvdimm`` does.
    ``files`` are folders to copy into the guest: path there = folder here, relative to the project.
    ``cases`` is for a workload that prints the results of tests (:mod:`driver.suite`).
    """

    question: Text
    expected: Text
    accelerator: RequestedAccelerator = "auto"
    digest_nvdimm: bool = False
    image: str
    files: Mapping[str, str] = {}
    cases: Cases | None = None
    machine: MachineTable
    instruments: Mapping[str, InstrumentTable] = {}
    provision: Command | None = None
    workload: Workload
    sources: Sources
    factors: Annotated[Mapping[Name, Factor], Field(min_length=1)]
    exclude: tuple[Exclusion, ...] = ()
    repeats: Annotated[int, Field(ge=1)] = 1
    retry: Retry = Retry()
    quick: Quick | None = None
    metrics: Mapping[Name, Metric] = {}
    checks: tuple[Assertion, ...] = ()
    fits: tuple[Fit, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    summary_tables: Annotated[
        tuple[SummaryTable, ...],
        # Its earlier name; the texts of earlier runs have it.
        Field(validation_alias=AliasChoices("summary_tables", "overviews")),
    ] = ()
