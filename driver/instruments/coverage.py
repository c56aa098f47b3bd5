# SPDX-License-Identifier: Apache-2.0
"""The instrument ``coverage``: which instructions of the kernel were executed at all.

``driver coverage`` says which lines of a series they are of. The kernel is an ordinary one: nothing
in it counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from driver.instruments import executed
from driver.instruments.executed import Output
from driver.instruments.instrument import Instrument, Row, Scene, Table

COVERAGE = "coverage.csv"


def _read(path: Path, scene: Scene) -> Mapping[str, Sequence[Row]]:
    del scene
    return {
        COVERAGE: [
            {"first": f"{first:x}", "end": f"{end:x}"}
            for first, end in ranges(executed.parse(path))
        ]
    }


def ranges(output: Output) -> Iterator[tuple[int, int]]:
    """Addresses of the kernel's instructions that were executed, from the first to the end."""
    sizes: dict[int, int] = {}
    for _, _, _, number, first, end, _ in output.counts:
        block = output.blocks[number]
        if block.user is None:
            after = [*block.addresses[1:], block.end]
            sizes.update(zip(block.addresses[first:end], after[first:end], strict=True))
    begin = last = None
    for address in sorted(sizes):
        if address != last:
            if begin is not None and last is not None:
                yield begin, last
            begin = address
        last = sizes[address]
    if begin is not None and last is not None:
        yield begin, last


INSTRUMENT = Instrument(
    name="coverage",
    summary="which instructions of the kernel were executed at all, for `driver coverage`",
    tables=(
        Table(
            COVERAGE,
            "One row for each range of instructions of the kernel that a trial executed "
            "(`--instrument coverage`).",
            {
                "first": ("", "address of the first, hexadecimal"),
                "end": ("", "address after the last"),
            },
        ),
    ),
    slowdown=6.0,
    arguments=executed.arguments,
    read=_read,
    variant="debug-info",
    plugin="functions",
)
