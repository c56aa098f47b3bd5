# SPDX-License-Identifier: Apache-2.0
"""What an instrument is: a plugin, its arguments, and how its output becomes tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.guest.machine import Machine

# Unit and meaning of each column, by its name.
Columns = Mapping[str, tuple[str, str]]
Row = Mapping[str, object]


class UnreadableObservation(ValueError):
    """What a plugin has written is not whole, or not in its format."""


@dataclass(frozen=True)
class Scene:
    """The guest that is watched, as far as an instrument needs to know it.

    ``phases`` are those that the workload announces, in order.
    """

    kernel: KernelArtifact
    image: ImageArtifact
    machine: Machine
    phases: Sequence[str] = ()

    @property
    def threads(self) -> bool:
        """Whether several processors run at the same time, each in a thread of QEMU."""
        return self.machine.vcpus > 1 and not self.machine.deterministic


@dataclass(frozen=True)
class Table:
    """A CSV file that an instrument adds to a run: what a row is, and its columns.

    A run's file has the columns of the trial before these (:mod:`driver.results.observations`).
    """

    name: str
    about: str
    columns: Columns


def _alone(_path: Path, _scene: Scene) -> AbstractContextManager[Sequence[str]]:
    return nullcontext(())


def _nothing() -> None:
    """Nothing is missing."""


@dataclass(frozen=True)
class Instrument:
    """A plugin of QEMU and the tables that its output is read into.

    ``summary`` is one sentence for listings. ``slowdown`` multiplies the deadlines of a guest that
    is watched: an upper bound, not a measurement. ``arguments`` are those of the plugin, as QEMU
    takes them, beyond ``out=FILE``; ``read`` turns that file into the rows of each table, and
    raises :class:`UnreadableObservation`.

    ``watching`` is entered before the guest starts and left when it has ended, with the path of
    FILE, for what the driver itself does meanwhile; it gives further arguments. A kernel without a
    variant of its own is built as ``variant``, if that is not None. ``plugin`` is the plugin's name
    if it is that of another instrument, ``interface`` the oldest version of QEMU's plugin interface
    that it works with (see ``plugin.h``). ``demand`` raises :class:`UserError` if something else is
    missing on this host; it is called before anything is built. ``icount`` is for those that only
    work where guest time counts instructions.
    """

    name: str
    summary: str
    tables: tuple[Table, ...]
    slowdown: float
    arguments: Callable[[Scene], Sequence[str]]
    read: Callable[[Path, Scene], Mapping[str, Sequence[Row]]]
    watching: Callable[[Path, Scene], AbstractContextManager[Sequence[str]]] = _alone
    variant: str | None = None
    plugin: str = ""
    interface: int = 1
    demand: Callable[[], None] = _nothing
    icount: bool = False
