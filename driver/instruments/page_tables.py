# SPDX-License-Identifier: Apache-2.0
"""The instrument ``page-tables``: the page tables of DAX mappings, as they are in memory."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from driver.errors import DriverError
from driver.instruments.holding import looking
from driver.instruments.instrument import Instrument, Row, Scene, Table, UnreadableObservation

TABLES, AUDIT = "page_tables.csv", "page_tables_audit.csv"
# Kernels with types for drgn; see driver/kernel/fragments.
_VARIANT = "debug-info"


def _demand() -> None:
    from driver.memory.kernel import demand_drgn  # noqa: PLC0415  (needs drgn, which is optional)

    demand_drgn()


@contextmanager
def _watching(path: Path, scene: Scene) -> Iterator[Sequence[str]]:
    """The arguments of the plugin; while the guest runs, it is looked at after each phase."""
    from driver.memory.kernel import KernelImage  # noqa: PLC0415  (needs drgn, which is optional)

    image = KernelImage.in_folder(scene.kernel.vmlinux.parent, scene.kernel.release)
    with path.open("w", encoding="utf-8") as out:

        def look(pid: int, phase: int) -> None:
            try:
                seen = _seen(pid, scene, image)
            except DriverError as error:
                seen = {"error": error.message}
            except Exception:  # whatever drgn raises, the guest has to run on
                seen = {"error": traceback.format_exc(limit=-1)}
            print(json.dumps({"phase": phase, **seen}), file=out, flush=True)

        with looking(look) as socket:
            yield [f"hold={socket}"]
        print(json.dumps({"end": True}), file=out, flush=True)


def _seen(pid: int, scene: Scene, image: Any) -> dict[str, Any]:
    """What there is in the guest of a process of QEMU, now."""
    from driver.memory.inspection import inspect  # noqa: PLC0415  (needs drgn and numpy)
    from driver.memory.kernel import open_guest  # noqa: PLC0415
    from driver.memory.physical import memory_of  # noqa: PLC0415

    with memory_of(pid, scene.machine.memory_mib) as memory:
        return inspect(open_guest(memory, image), memory.segments)


def _read(path: Path, scene: Scene) -> Mapping[str, Sequence[Row]]:
    rows: dict[str, list[Row]] = {TABLES: [], AUDIT: []}
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise UnreadableObservation(f"page-tables: {error}") from error
    if not lines or lines.pop() != {"end": True}:
        raise UnreadableObservation("page-tables: the output is cut off: is the disk full?")
    names = scene.phases if len(lines) == len(scene.phases) else range(1, len(lines) + 1)
    for name, seen in zip(names, lines, strict=True):
        if "error" in seen:
            raise UnreadableObservation(f"page-tables, phase {name}: {seen['error']}")
        rows[TABLES] += [{"phase": name, **row} for row in seen["tables"]]
        rows[AUDIT] += [{"phase": name, **row} for row in seen["audit"]]
    return rows


_PHASE = {"phase": ("", "phase that had just been sampled, or its number")}
INSTRUMENT = Instrument(
    name="page-tables",
    summary="the page tables of DAX mappings at each phase, read from the guest's memory and "
    "compared with the kernel's counters",
    tables=(
        Table(
            TABLES,
            "One row for each page table of each mapping of a DAX file, at each phase of a trial "
            "(`--instrument page-tables`).",
            {
                **_PHASE,
                "pid": ("", "process"),
                "process": ("", "its name"),
                "file": ("", "file that is mapped"),
                "level": ("", "`PGD`, `P4D` (with five levels only), `PUD`, `PMD` or `PTE`"),
                "table": ("", "physical address of the table, hexadecimal"),
                "entry_at": ("", "that of the entry that points to it; empty for the PGD"),
                "start": ("", "first virtual address of the mapping that it translates"),
                "present": ("count", "entries for the mapping that are present"),
                "leaves": ("count", "of them, those that map memory, and not another table"),
                "sharers": ("count", "different entries that point to the table"),
                "users": ("count", "as the kernel counts them; empty if it is no shared table"),
            },
        ),
        Table(
            AUDIT,
            "One row for each number that the kernel states and that was found in its memory as "
            "well (`--instrument page-tables`).",
            {
                **_PHASE,
                "what": ("", "what is counted"),
                "stated": ("count", "what the kernel states"),
                "found": ("count", "what is in memory"),
                "difference": ("count", "between the two, without its sign"),
            },
        ),
    ),
    # It stops the guest instead of slowing it down: for up to some seconds, at each phase.
    slowdown=6.0,
    arguments=lambda _scene: [],
    read=_read,
    watching=_watching,
    variant=_VARIANT,
    demand=_demand,
    icount=True,
)
