# SPDX-License-Identifier: Apache-2.0
"""Where two runs spent their instructions: what changed by function.

Only between readings of the clock (windows of the kind ``cost``) two runs did the same, so only
those are compared: per window, or per call of a function that both kernels have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from driver.compare.numbers import describe
from driver.errors import UserError
from driver.instruments.functions import KERNEL
from driver.results.directory import RunDirectory
from driver.results.observations import read_table

FUNCTIONS = "functions.csv"
_WINDOWS = "windows.csv"
_MEASURED = "cost"
# What the compiler makes of one function: it may do so in one build and not in the next.
_CLONE = re.compile(r"(\.(part|isra|constprop|cold|llvm|localalias)(\.\d+)*)+$")


@dataclass(frozen=True)
class FunctionChange:
    """What a function executed per window or call, on average: instructions, and calls of it."""

    space: str
    function: str
    first: float
    second: float
    first_calls: float
    second_calls: float

    @property
    def change(self) -> float:
        return self.second - self.first


@dataclass(frozen=True)
class WindowChange:
    """The windows of one phase in one arm, and the functions in them, most changed first.

    ``times`` is what was divided by, in each run: the number of windows, or of calls.
    """

    arm: str
    phase: str
    times: tuple[float, float]
    functions: tuple[FunctionChange, ...]

    @property
    def change(self) -> float:
        """Instructions that a window, or a call, takes more in the second run."""
        return sum(function.change for function in self.functions)


def compare_functions(
    first: RunDirectory, second: RunDirectory, *, per: str | None = None
) -> list[WindowChange]:
    """What changed by function in each phase of each arm that both runs have measured windows in.

    Repeats are averaged. ``per`` is a function of the kernel by whose calls to divide, instead of
    by windows; phases without any call are left out. Raises :class:`UserError` if a run has no
    such tables, or if nothing is in both.
    """
    sides = [_Side.read(run) for run in (first, second)]
    factors = [name for name in sides[0].factors if name in sides[1].factors]
    found = [side.windows(factors) for side in sides]
    changes = []
    for key, mine in found[0].items():
        other = found[1].get(key)
        times = (mine.times(per), other.times(per) if other else 0.0)
        if other is not None and all(times):
            *levels, phase = key
            arm = describe(tuple(zip(factors, levels, strict=True)))
            changes.append(WindowChange(arm, phase, times, tuple(_changes(mine, other, times))))
    if not changes:
        what = f"call of {per} in a measured window" if per else "measured window"
        raise UserError(
            f"{first.name} and {second.name} have no {what} in common",
            hint="Only what a workload measures with cost_now() and cost_since() is compared.",
        )
    return changes


@dataclass(frozen=True)
class Window:
    """Times that windows of a kind were entered in all repeats, and sums over them by function."""

    entered: float
    sums: Mapping[tuple[str, str], tuple[float, float]]

    def times(self, per: str | None) -> float:
        """What sums are divided by: windows, or calls of a function."""
        return self.entered if per is None else self.sums.get((KERNEL, per), (0.0, 0.0))[1]


def measured_windows(run: RunDirectory) -> Mapping[tuple[str, ...], Window]:
    """The measured windows of a run, by the levels of its factors and the phase."""
    side = _Side.read(run)
    return side.windows(side.factors)


@dataclass(frozen=True)
class _Side:
    """The tables of a run."""

    factors: Sequence[str]
    functions: pd.DataFrame
    entered: pd.DataFrame

    @classmethod
    def read(cls, run: RunDirectory) -> _Side:
        functions, windows = (read_table(run, name) for name in (FUNCTIONS, _WINDOWS))
        columns = list(windows.columns)
        factors = columns[columns.index("trial") + 1 : columns.index("phase")]
        for table in (functions, windows):
            table[factors] = table[factors].astype(str)
        functions["function"] = functions["function"].str.replace(_CLONE, "", regex=True)
        return cls(factors, _measured(functions), _measured(windows))

    def windows(self, factors: Sequence[str]) -> dict[tuple[str, ...], Window]:
        """By the levels of these factors and the phase."""
        key = [*factors, "phase"]
        entered = self.entered.assign(entered=pd.to_numeric(self.entered["entered"]))
        times = dict(_numbers(entered.groupby(key, sort=False)["entered"].sum()))
        found: dict[tuple[str, ...], Window] = {}
        for name, rows in self.functions.groupby(key, sort=False):
            levels = tuple(str(level) for level in name)
            sums = rows.groupby(["space", "function"])[["instructions", "calls"]].sum()
            found[levels] = Window(
                times[levels],
                {(space, function): (a, b) for (space, function), a, b in _rows(sums)},
            )
        return found


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["window"] == _MEASURED]


def _numbers(sums: pd.Series[float]) -> Iterator[tuple[tuple[str, ...], float]]:
    for name, number in sums.items():
        assert isinstance(name, tuple)
        yield tuple(str(level) for level in name), float(number)


def _rows(sums: pd.DataFrame) -> Iterator[tuple[tuple[str, str], float, float]]:
    for name, instructions, calls in sums.itertuples(name=None):
        yield name, float(instructions), float(calls)


def _changes(mine: Window, other: Window, times: tuple[float, float]) -> list[FunctionChange]:
    nothing = (0.0, 0.0)
    found = []
    for name in dict.fromkeys((*mine.sums, *other.sums)):
        first = [number / times[0] for number in mine.sums.get(name, nothing)]
        second = [number / times[1] for number in other.sums.get(name, nothing)]
        found.append(FunctionChange(*name, first[0], second[0], first[1], second[1]))
    return sorted(found, key=lambda one: (-abs(one.change), one.space, one.function))
