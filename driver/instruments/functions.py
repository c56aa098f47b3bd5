# SPDX-License-Identifier: Apache-2.0
"""The instrument ``functions``: instructions by function of the kernel and by user program."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

from driver.instruments import executed
from driver.instruments.executed import Block, Output
from driver.instruments.instrument import Instrument, Row, Scene, Table
from driver.instruments.programs import Programs
from driver.kernel.symbols import Symbols

KERNEL, USER = "kernel", "user"
# Code that is in no file: what the kernel generates (BPF), the firmware.
_OUTSIDE = "(outside vmlinux)"
# After the last phase the workload ends, and the guest halts.
END = "(end)"


def _read(path: Path, scene: Scene) -> Mapping[str, Sequence[Row]]:
    output = executed.parse(path)
    owners = _Owners(output.blocks, scene)
    totals: Counter[tuple[int, str, int, str, str]] = Counter()
    calls: Counter[tuple[int, str, int, str, str]] = Counter()
    for phase, window, cpu, number, first, end, times in output.counts:
        for (space, name), (instructions, entries) in owners.of(number, first, end).items():
            key = (phase, window, cpu, space, name)
            totals[key] += times * instructions
            calls[key] += times * entries
    names = _phase_names(output, scene.phases)
    windows: Counter[tuple[int, str]] = Counter()
    for (phase, window, *_), instructions in totals.items():
        windows[phase, window] += instructions
    return {
        "functions.csv": [
            {
                "phase": names[phase],
                "window": window,
                "cpu": cpu,
                "space": space,
                "function": name,
                "calls": calls[phase, window, cpu, space, name],
                "instructions": instructions,
            }
            for (phase, window, cpu, space, name), instructions in sorted(totals.items())
        ],
        "windows.csv": [
            {
                "phase": names[phase],
                "window": window,
                "entered": output.entered.get((phase, window), ""),
                "instructions": instructions,
                "uncertain": output.uncertain.get(phase, 0),
            }
            for (phase, window), instructions in sorted(windows.items())
        ],
    }


class _Owners:
    """Whose each instruction of a block is."""

    def __init__(self, blocks: Mapping[int, Block], scene: Scene) -> None:
        self._blocks = blocks
        self._owner = kernel_owner(scene.kernel.vmlinux)
        user = [block.user for block in blocks.values() if block.user is not None]
        self._programs = Programs.of_image(scene.image, scene.kernel).owners(user)
        self._known: dict[tuple[int, int, int], dict[tuple[str, str], tuple[int, int]]] = {}

    def of(self, number: int, first: int, end: int) -> Mapping[tuple[str, str], tuple[int, int]]:
        """By owner, how many of the instructions are its, and how many are its first."""
        found = self._known.get((number, first, end))
        if found is None:
            found = self._known[number, first, end] = self._find(self._blocks[number], first, end)
        return found

    def _find(self, block: Block, first: int, end: int) -> dict[tuple[str, str], tuple[int, int]]:
        if block.user is not None:
            return {(USER, self._programs[block.user]): (end - first, 0)}
        found: dict[tuple[str, str], tuple[int, int]] = {}
        for address in block.addresses[first:end]:
            name, start = self._owner(address)
            instructions, entries = found.get((KERNEL, name), (0, 0))
            found[KERNEL, name] = (instructions + 1, entries + (address == start))
        return found


@cache
def kernel_owner(vmlinux: Path) -> Callable[[int], tuple[str, int]]:
    """The function an address of a kernel is in, and where that begins; remembers its answers."""
    symbols = Symbols(vmlinux)
    return cache(lambda address: symbols.owner(address) or (_OUTSIDE, -1))


def _phase_names(output: Output, phases: Sequence[str]) -> Mapping[int, str]:
    """Names of the phases by number. A workload that does not mark all its phases gets numbers."""
    numbers: Iterable[int] = {phase for phase, *_ in output.counts}
    last = max(numbers, default=0)
    if last == len(phases):
        return dict(enumerate([*phases, END]))
    return {number: f"({number + 1} of {last + 1})" for number in range(last + 1)}


_WINDOW = {
    "phase": (
        "",
        "phase that the instructions led to, executed since the phase before; `(end)`: after the "
        "last; `(1 of 1)`: the workload does not mark its phases",
    ),
    "window": (
        "",
        "`cost`: measured by `cost_now()` and `cost_since()`; `sampling`: while the counters of "
        "the phase were read; `other`",
    ),
}
INSTRUMENT = Instrument(
    name="functions",
    summary="instructions by kernel function, user program, processor and phase",
    tables=(
        Table(
            "functions.csv",
            "One row for each function or program that executed instructions in a window of a "
            "trial (`--instrument functions`).",
            {
                **_WINDOW,
                "cpu": ("", "processor, from 0"),
                "space": ("", "`kernel` or `user`"),
                "function": ("", "function of the kernel, or name of the user program"),
                "calls": ("count", "how often its first instruction was executed"),
                "instructions": ("instructions", "that it executed itself, without its callees"),
            },
        ),
        Table(
            "windows.csv",
            "One row for each window of a trial (`--instrument functions`).",
            {
                **_WINDOW,
                "entered": ("count", "how often it was entered; empty for `other`"),
                "instructions": ("instructions", "executed in it, by all processors"),
                "uncertain": (
                    "count",
                    "faults in the phase of which it is not certain whether they interrupted "
                    "an instruction or followed it: so much may the counts be off",
                ),
            },
        ),
    ),
    slowdown=6.0,
    arguments=executed.arguments,
    read=_read,
)
