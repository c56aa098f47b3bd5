# SPDX-License-Identifier: Apache-2.0
"""Which numbers mean something under which accelerator, and the units they come in.

Counters, experiments and results all rest on this module; it rests on none of them.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

TIME_UNITS = frozenset({"ns", "us", "ms", "s"})
INSTRUCTIONS = "instructions"
# Units with a meaning fixed here. Anything else that looks like a plural noun is a count.
UNITS = frozenset({"B", "boolean", "count", INSTRUCTIONS, *TIME_UNITS})
_COUNT = re.compile(r"[a-z][a-z0-9_-]*s")
# Plural nouns that count nothing: times in words (they have units above) and the beats of a clock.
_TIME_IN_WORDS = re.compile(r"(?:[munp]|milli|micro|nano|pico)?sec(?:ond)?s|minutes|hours|days")
_BEATS = re.compile(r"(?:[a-z-]+-)?(?:cycles|clocks|ticks|jiffies)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}


class Accelerator(StrEnum):
    """What executes the guest's instructions; it decides which numbers mean anything.

    ``exact``, an earlier name of ``icount``, still stands in files and is understood.
    """

    TCG = "tcg"
    ICOUNT = "icount"
    KVM = "kvm"

    @classmethod
    def _missing_(cls, value: object) -> Accelerator | None:
        return cls.ICOUNT if value == "exact" else None


class InvalidMeasurement(ValueError):
    """A number that its accelerator cannot have measured."""


@dataclass(frozen=True)
class Validity:
    """Which kinds of number a run may contain.

    Counts (pages, faults, entries) are valid everywhere: emulation does not change what the
    guest's kernel counts. ``icount_shift`` is log2 of the guest nanoseconds per instruction under
    icount: the guest's clock counts instructions, so a time is converted to instructions.
    """

    accelerator: Accelerator
    icount_shift: int | None = None

    def __post_init__(self) -> None:
        if (self.accelerator is Accelerator.ICOUNT) != (self.icount_shift is not None):
            raise ValueError("an icount shift belongs to the accelerator icount, and only to it")

    def admit(self, value: int | float, unit: str) -> tuple[int | float, str]:
        """The number as it may enter a result: as it is, or converted to instructions.

        Raises :class:`InvalidMeasurement` for a time or an instruction count that this
        accelerator cannot measure, and for a unit that nobody defined.
        """
        if unit in TIME_UNITS:
            if self.icount_shift is not None:
                return round(value * _NANOSECONDS[unit]) >> self.icount_shift, INSTRUCTIONS
            if self.accelerator is not Accelerator.KVM:
                raise InvalidMeasurement(
                    f"a time ({value} {unit}) measured under {self.accelerator} is not a time: "
                    "the emulator's speed, not the guest's, decides it"
                )
        elif unit == INSTRUCTIONS:
            if self.accelerator is not Accelerator.ICOUNT:
                raise InvalidMeasurement(
                    f"instructions are counted only under icount, not under {self.accelerator}"
                )
        elif _TIME_IN_WORDS.fullmatch(unit):
            raise InvalidMeasurement(
                f"{unit!r} is not a count: write a time in one of {', '.join(sorted(TIME_UNITS))}"
            )
        elif _BEATS.fullmatch(unit) and self.accelerator is Accelerator.TCG:
            raise InvalidMeasurement(
                f"{unit} under {self.accelerator} are a time by another name, and not valid"
            )
        elif unit not in UNITS and not _COUNT.fullmatch(unit):
            raise InvalidMeasurement(
                f"unknown unit {unit!r}: use one of {', '.join(sorted(UNITS))}, "
                "or the plural noun of what is counted"
            )
        return value, unit

    def admit_source(self, name: str, valid: Collection[Accelerator]) -> None:
        """Raise :class:`InvalidMeasurement` if what a counter says means nothing here."""
        if self.accelerator not in valid:
            raise InvalidMeasurement(
                f"{name} is valid under {', '.join(sorted(valid))}, not under {self.accelerator}"
            )

    def describe(self) -> dict[str, str]:
        """What a reader may conclude, by kind of number, for the manifest."""
        icount, kvm = self.accelerator is Accelerator.ICOUNT, self.accelerator is Accelerator.KVM
        return {
            "counts": "valid and repeatable" if icount else "valid",
            "instructions": "valid: path lengths, no cache or TLB model" if icount else "absent",
            "time": "valid on an idle host" if kvm else "refused",
        }
