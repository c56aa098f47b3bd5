# SPDX-License-Identifier: Apache-2.0
"""Where the measured instructions went, as bars, if the instrument ``functions`` saw it."""

from __future__ import annotations

from dataclasses import dataclass

from driver.compare.functions import FUNCTIONS, measured_windows
from driver.results.directory import RunDirectory

_MOST = 12


@dataclass(frozen=True)
class Bar:
    """A function's part of a window: ``share`` of the longest bar, in percent."""

    function: str
    instructions: str
    calls: str
    share: float


@dataclass(frozen=True)
class WindowBars:
    """The windows of one phase in one arm: instructions of one on average, function by function."""

    title: str
    total: str
    bars: tuple[Bar, ...]
    others: str


def window_bars(run: RunDirectory) -> list[WindowBars]:
    """Bars for each phase with measured windows, the longest first; none without the table."""
    if not (run.path / FUNCTIONS).is_file():
        return []
    found = []
    for key, window in measured_windows(run).items():
        sums = sorted(window.sums.items(), key=lambda item: -item[1][0])
        longest = sums[0][1][0]
        total = sum(instructions for _, (instructions, _) in sums)
        shown = sums[:_MOST]
        rest = total - sum(instructions for _, (instructions, _) in shown)
        *levels, phase = key
        found.append(
            WindowBars(
                title=", ".join([*levels, f"phase {phase}"]),
                total=_per(total, window.entered),
                bars=tuple(
                    Bar(
                        function if space == "kernel" else f"{function} (user)",
                        _per(instructions, window.entered),
                        _per(calls, window.entered) if space == "kernel" else "",
                        round(100 * instructions / longest, 1),
                    )
                    for (space, function), (instructions, calls) in shown
                ),
                others=_per(rest, window.entered),
            )
        )
    return found


def _per(number: float, times: float) -> str:
    return f"{number / times:,.2f}"
