# SPDX-License-Identifier: Apache-2.0
"""The instrument ``page-walks``: what a model of TLBs and caches makes of the guest's accesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from driver.errors import UserError
from driver.instruments.instrument import Instrument, Row, Scene, Table, UnreadableObservation

PAGE_WALKS = "page_walks.csv"
# Where Linux maps all of memory (Documentation/arch/x86/x86_64/mm.rst), if it is not moved.
_DIRECT = {4: 0xFFFF_8880_0000_0000, 5: 0xFF11_0000_0000_0000}
_LEVELS = {4: ("PTE", "PMD", "PUD", "PGD"), 5: ("PTE", "PMD", "PUD", "P4D", "PGD")}
_MOVED = "CONFIG_RANDOMIZE_MEMORY=y"


def _arguments(scene: Scene) -> Sequence[str]:
    from driver.instruments.machine_model import servers  # noqa: PLC0415  (pydantic)

    if _MOVED in scene.kernel.config.read_text(encoding="utf-8").splitlines():
        raise UserError(
            f"page-walks reads page tables where Linux maps all memory, and {_MOVED} moves that",
            hint="Turn CONFIG_RANDOMIZE_MEMORY off.",
        )
    levels = 5 if scene.machine.la57 else 4
    machines = [f"machine={one.specification()}" for one in servers()]
    return [*machines, f"direct={_DIRECT[levels]:x}", f"levels={levels}"]


def _read(path: Path, scene: Scene) -> Mapping[str, Sequence[Row]]:
    try:
        *lines, last = path.read_text(encoding="ascii").splitlines() or [""]
        found = [_row(line.split()) for line in lines]
    except (OSError, ValueError) as error:
        raise UnreadableObservation(f"page-walks: {error}") from error
    if last != "end":
        raise UnreadableObservation("page-walks: the plugin's output is cut off: is the disk full?")
    levels = _LEVELS[5 if scene.machine.la57 else 4]
    count = max((phase for phase, *_ in found), default=0)
    names = [*scene.phases, "(end)"] if count == len(scene.phases) else range(1, count + 2)
    return {
        PAGE_WALKS: [
            {
                "phase": names[phase],
                "model": model,
                "window": window,
                "space": space,
                "event": event,
                "level": "" if level == "-" else levels[int(level)],
                "served": "" if served == "-" else served,
                "count": times,
            }
            for phase, model, window, space, event, level, served, times in found
        ]
    }


def _row(words: Sequence[str]) -> tuple[int, str, str, str, str, str, str, int]:
    match words:
        case ["count", model, phase, window, space, event, level, served, times]:
            return int(phase), model, window, space, event, level, served, int(times)
    raise ValueError(f"not a line of the plugin: {' '.join(words)[:80]!r}")


INSTRUMENT = Instrument(
    name="page-walks",
    summary="TLB misses and the memory references of page walks, by a model of two server "
    "processors (QEMU 10 or newer)",
    tables=(
        Table(
            PAGE_WALKS,
            "One row for each kind of event in a window of a trial, as a model of a machine's TLBs "
            "and caches has it (`--instrument page-walks`).",
            {
                "phase": ("", "phase that the accesses led to, or its number; `(end)`: after it"),
                "model": ("", "machine that is modelled"),
                "window": ("", "`cost`: measured by the workload; `sampling`; `other`"),
                "space": ("", "`user` or `kernel`: whose address was accessed"),
                "event": (
                    "",
                    "`access`; `data`: its reference to memory; `translation`: by a TLB; `walk`; "
                    "`reference`: of a walk, to an entry of a page table; `displaced`: data that "
                    "were fetched again, as a page table had taken their place in the last level; "
                    "`table-lines`: lines of the last level with page tables, at the end; `stale`, "
                    "`failed`: accesses that the model had wrong",
                ),
                "level": ("", "of the entry that a walk referred to"),
                "served": ("", "by what: `L1`, `L2`, `LLC`, `memory`"),
                "count": ("count", "how often"),
            },
        ),
    ),
    slowdown=60.0,
    arguments=_arguments,
    read=_read,
    interface=4,
    icount=True,
)
