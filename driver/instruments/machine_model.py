# SPDX-License-Identifier: Apache-2.0
"""The machines whose TLBs and caches are modelled: a file each, with the source of its numbers.

``driver/instruments/machines/NAME.toml``; ``walk-model.h`` says what is done with them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from driver.tomlfile import validated

FOLDER = Path(__file__).parent / "machines"
_LINE = 64
_Positive = Annotated[int, Field(ge=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entries(_Table):
    """So many entries, ``ways`` of them in each set."""

    entries: _Positive
    ways: _Positive

    @model_validator(mode="after")
    def _whole_sets(self) -> Entries:
        if self.entries % self.ways:
            raise ValueError(f"{self.entries} entries are no whole sets of {self.ways}")
        return self

    @property
    def sets(self) -> int:
        """How many sets there are."""
        return self.entries // self.ways


class Cache(_Table):
    """A cache of so many KiB, in lines of 64 bytes."""

    kib: _Positive
    ways: _Positive

    @model_validator(mode="after")
    def _whole_sets(self) -> Cache:
        if (self.kib << 10) % (_LINE * self.ways):
            raise ValueError(f"{self.kib} KiB are no whole sets of {self.ways} lines")
        return self

    @property
    def sets(self) -> int:
        """How many sets there are."""
        return (self.kib << 10) // _LINE // self.ways


class Tlbs(_Table):
    """Data TLBs; one without a table for 2 MiB holds pages of both sizes."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    l1_4k: Annotated[Entries, Field(alias="l1-4k")]
    l1_2m: Annotated[Entries | None, Field(alias="l1-2m")] = None
    l2_4k: Annotated[Entries, Field(alias="l2-4k")]
    l2_2m: Annotated[Entries | None, Field(alias="l2-2m")] = None


class Paging(_Table):
    """Caches of entries that lead to other tables; those that are missing do not exist."""

    pde: Entries | None = None
    pdpte: Entries | None = None
    pml4e: Entries | None = None


class Caches(_Table):
    """Data caches: two of each core, and the last level that all share."""

    l1d: Cache
    l2: Cache
    llc: Cache


class MachineModel(_Table):
    """A machine. ``source`` says where its numbers are from; ``asids`` is how many address spaces a
    core keeps translations of (0: a switch flushes them).
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,31}$")]
    source: Annotated[str, Field(min_length=1)]
    asids: Annotated[int, Field(ge=0, le=64)]
    tlb: Tlbs
    paging: Paging
    caches: Caches

    def specification(self) -> str:
        """The machine as the plugin takes it."""
        parts: dict[str, Entries | Cache | None] = {
            "l1-4k": self.tlb.l1_4k,
            "l1-2m": self.tlb.l1_2m,
            "l2-4k": self.tlb.l2_4k,
            "l2-2m": self.tlb.l2_2m,
            "pde": self.paging.pde,
            "pdpte": self.paging.pdpte,
            "pml4e": self.paging.pml4e,
            "l1d": self.caches.l1d,
            "l2": self.caches.l2,
            "llc": self.caches.llc,
        }
        sizes = (f"{key}={part.sets}x{part.ways}" for key, part in parts.items() if part)
        return ":".join([self.name, *sizes, f"asids={self.asids}"])


def load(name: str) -> MachineModel:
    """The machine of a name; :class:`UserError` naming the line if its file has a mistake."""
    path = FOLDER / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    return validated(path, text, MachineModel, "driver/instruments/machine_model.py says how.")


def servers() -> list[MachineModel]:
    """The real machines, by name."""
    names = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return [load(name) for name in names if name != "tiny"]
