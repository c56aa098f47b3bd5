# SPDX-License-Identifier: Apache-2.0
"""Whether the parts of an experiment fit together, found out before anything is built.

A wrong factor name in an expression would otherwise surface after the last trial, hours later.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from driver.counters import sources
from driver.experiment import expression
from driver.experiment.definition import Assertion, Command, Experiment, Fit, Prediction
from driver.experiment.expression import Call
from driver.instruments import instruments
from driver.results.observations import tables
from driver.results.schema import RESERVED
from driver.results.tidy import WORKLOAD_SOURCE
from driver.text import as_written
from driver.toml_positions import KeyPath

_FUNCTIONS = (expression.ELSEWHERE, expression.OBSERVED)


@dataclass(frozen=True)
class Problem:
    """Something that cannot be meant: where, what, and which words were possible there."""

    path: KeyPath
    message: str
    given: str = ""
    allowed: tuple[str, ...] = ()


def problems(experiment: Experiment) -> Iterator[Problem]:
    """Every inconsistency, in the order of the file's tables."""
    yield from _files(experiment)
    yield from _factors(experiment)
    yield from _sources(experiment)
    yield from _machine(experiment)
    yield from _instruments(experiment)
    yield from _levels(experiment)
    yield from _assertions(experiment)
    yield from _summary_tables(experiment)


def _files(experiment: Experiment) -> Iterator[Problem]:
    for guest in experiment.files:
        if not guest.startswith("/") or not guest.strip("/") or ".." in guest.split("/"):
            yield Problem(("files", guest), f"{guest!r} is not a folder of the guest: begin with /")


def _factors(experiment: Experiment) -> Iterator[Problem]:
    taken = {*RESERVED, *expression.CONSTANTS, *sources(), *_FUNCTIONS}
    for name, factor in experiment.factors.items():
        where: KeyPath = ("factors", name)
        if name in taken:
            yield Problem(where, f"the name {name!r} of a factor is reserved")
        if bool(factor.values) == bool(factor.arms):
            yield Problem(where, f"the factor {name!r} needs either values or arms")
        if len({str(level) for level in factor.levels}) != len(factor.levels):
            yield Problem(where, f"the factor {name!r} lists a level twice")
        for label, arm in factor.arms.items():
            inside: KeyPath = (*where, "arms", label)
            for index, write in enumerate(arm.writes):
                for key, text in (("text", write.text), ("when", write.when)):
                    tree = expression.parse if key == "when" else expression.parse_template
                    yield from _only_factors(experiment, tree(text), (*inside, "writes", index))
            for text in arm.arguments:
                tree_ = expression.parse_template(text)
                yield from _only_factors(experiment, tree_, (*inside, "arguments"))
    if not any(
        arm.kernel for factor in experiment.factors.values() for arm in factor.arms.values()
    ):
        yield Problem(("factors",), "no arm of any factor names a kernel")


def _sources(experiment: Experiment) -> Iterator[Problem]:
    for name in experiment.sources.keep:
        if name not in sources():
            yield Problem(
                ("sources", "keep", name),
                f"unknown source {name!r}",
                name,
                tuple(sources()),
            )


def _machine(experiment: Experiment) -> Iterator[Problem]:
    for key in ("memory_mib", "nvdimm_mib", "vcpus"):
        tree = expression.parse(getattr(experiment.machine, key))
        yield from _only_factors(experiment, tree, ("machine", key))
    commands: list[tuple[str, Command | None]] = [
        ("provision", experiment.provision),
        ("workload", experiment.workload),
    ]
    for name, command in commands:
        if command is None:
            continue
        yield from _only_factors(experiment, expression.parse(command.timeout), (name, "timeout"))
        for word in command.argv:
            yield from _only_factors(experiment, expression.parse_template(word), (name, "argv"))

    for phase in experiment.workload.phases:
        yield from _only_factors(experiment, expression.parse(phase.when), ("workload", "phases"))


def _instruments(experiment: Experiment) -> Iterator[Problem]:
    known = tuple(instruments())
    for name, table in experiment.instruments.items():
        where: KeyPath = ("instruments", name)
        if name not in known:
            yield Problem(where, f"unknown instrument {name!r}", name, known)
        yield from _only_factors(experiment, expression.parse(table.when), (*where, "when"))


def _levels(experiment: Experiment) -> Iterator[Problem]:
    selections: list[tuple[KeyPath, Mapping[str, Sequence[Any]]]] = [
        (("exclude", index, "levels"), exclusion.levels)
        for index, exclusion in enumerate(experiment.exclude)
    ]
    if experiment.quick:
        selections.append((("quick", "levels"), experiment.quick.levels))
    for where, selection in selections:
        for name, levels in selection.items():
            if name not in experiment.factors:
                allowed = tuple(experiment.factors)
                yield Problem((*where, name), f"unknown factor {name!r}", name, allowed)
                continue
            known = tuple(str(level) for level in experiment.factors[name].levels)
            for level in levels:
                if str(level) not in known:
                    message = f"the factor {name} has no level {str(level)!r}"
                    yield Problem((*where, name), message, str(level), known)


def _assertions(experiment: Experiment) -> Iterator[Problem]:
    scope = [*experiment.factors]
    for name, metric in experiment.metrics.items():
        if name in {*scope, *sources(), *expression.CONSTANTS, *_FUNCTIONS}:
            yield Problem(("metrics", name), f"the name {name!r} of a metric is already in use")
        where: KeyPath = ("metrics", name, "value")
        yield from _formula(experiment, metric.value, scope, where)
        scope.append(name)
    seen: set[str] = set()
    groups: list[tuple[str, Sequence[Assertion]]] = [
        ("checks", experiment.checks),
        ("fits", experiment.fits),
        ("predictions", experiment.predictions),
    ]
    for table, items in groups:
        for index, item in enumerate(items):
            inside: KeyPath = (table, index)
            if item.name in seen:
                yield Problem((*inside, "name"), f"two assertions are called {item.name!r}")
            seen.add(item.name)
            yield from _assertion(experiment, item, scope, inside)


def _assertion(
    experiment: Experiment, item: Assertion, scope: Sequence[str], where: KeyPath
) -> Iterator[Problem]:
    yield from _only_factors(experiment, expression.parse(item.where), (*where, "where"))
    # An assertion may also look at the numbers of other trials.
    scope = [*scope, expression.ELSEWHERE]
    yield from _formula(experiment, item.measured, scope, (*where, "measured"))
    theory: Sequence[str] = scope
    if isinstance(item, Fit | Prediction):
        for name in item.by:
            if name not in experiment.factors:
                allowed = tuple(experiment.factors)
                yield Problem((*where, "by"), f"unknown factor {name!r}", name, allowed)
        if item.against is not None:
            theory = item.by
            yield from _formula(experiment, item.against, scope, (*where, "against"))
        elif item.by:
            yield Problem((*where, "by"), "`by` needs `against`: only slopes are grouped")
    for key in ("expected", "absolute", "scale"):
        text = getattr(item, key)
        if text is not None:
            yield from _formula(experiment, text, theory, (*where, key))


def _summary_tables(experiment: Experiment) -> Iterator[Problem]:
    for index, table in enumerate(experiment.summary_tables):
        where: KeyPath = ("summary_tables", index)
        if table.metric not in experiment.metrics:
            message = f"unknown metric {table.metric!r}"
            allowed = tuple(experiment.metrics)
            yield Problem((*where, "metric"), message, table.metric, allowed)
        for key, names in (("rows", table.rows), ("columns", (table.columns,))):
            for name in names:
                if name not in experiment.factors:
                    allowed = tuple(experiment.factors)
                    yield Problem((*where, key), f"unknown factor {name!r}", name, allowed)


def _only_factors(experiment: Experiment, tree: Any, where: KeyPath) -> Iterator[Problem]:
    yield from _unknown(expression.names(tree), experiment.factors, where)


def _formula(
    experiment: Experiment, text: str, scope: Iterable[str], where: KeyPath
) -> Iterator[Problem]:
    tree = expression.parse(text)
    sampled = (*experiment.sources.keep, WORKLOAD_SOURCE)
    yield from _unknown(expression.names(tree), (*scope, *sampled, expression.OBSERVED), where)
    for call in expression.calls(tree):
        if call.name == expression.OBSERVED:
            yield from _observed(experiment, call, where)
        if call.name == expression.ELSEWHERE:
            yield from _elsewhere(experiment, call, where)
        if call.name not in sampled:
            continue
        source = call.name
        metric, phase = (*call.arguments, None, None)[:2]
        patterns = experiment.sources.keep.get(source, ("*",))
        if isinstance(metric, str) and not any(fnmatchcase(metric, one) for one in patterns):
            message = f"{source} keeps no metric {metric!r}"
            yield Problem(where, message, metric, patterns)
        phases = tuple(phase.name for phase in experiment.workload.phases)
        if isinstance(phase, str) and phase not in phases:
            yield Problem(where, f"the workload announces no phase {phase!r}", phase, phases)


def _observed(experiment: Experiment, call: Call, where: KeyPath) -> Iterator[Problem]:
    """A table of an instrument, a column of it, a phase, and what other columns hold."""
    if len(call.arguments) != 3:
        yield Problem(where, f"{call.name}() takes a table, a column and a phase")
        return
    table, column, phase = call.arguments
    known = {name.removesuffix(".csv"): found for name, found in tables().items()}
    if isinstance(table, str) and table not in known:
        yield Problem(where, f"no instrument makes a table {table!r}", table, tuple(known))
    elif isinstance(table, str):
        columns = tuple(known[table].columns)
        for name in (column, *call.keywords):
            if isinstance(name, str) and name not in columns:
                yield Problem(where, f"{table} has no column {name!r}", name, columns)
    phases = tuple(one.name for one in experiment.workload.phases)
    if isinstance(phase, str) and phase not in phases:
        yield Problem(where, f"the workload announces no phase {phase!r}", phase, phases)


def _elsewhere(experiment: Experiment, call: Call, where: KeyPath) -> Iterator[Problem]:
    """A metric by its name, and levels of factors."""
    metrics = tuple(experiment.metrics)
    if len(call.arguments) != 1:
        yield Problem(where, f"{call.name}() takes one metric and levels of factors")
    elif (metric := call.arguments[0]) is not None and metric not in metrics:
        yield Problem(where, f"unknown metric {metric!r}", str(metric), metrics)
    for name, level in call.keywords.items():
        if name not in experiment.factors:
            allowed = tuple(experiment.factors)
            yield Problem(where, f"unknown factor {name!r}", name, allowed)
        elif level is not None and level not in experiment.factors[name].levels:
            known = tuple(str(one) for one in experiment.factors[name].levels)
            yield Problem(
                where, f"the factor {name} has no level {as_written(level)}", str(level), known
            )


def _unknown(used: Collection[str], known: Collection[str], where: KeyPath) -> Iterator[Problem]:
    for name in sorted(used):
        if name not in known:
            yield Problem(where, f"unknown name {name!r}", name, tuple(known))
