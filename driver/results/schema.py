# SPDX-License-Identifier: Apache-2.0
"""What a run looks like on disk, version 1, and which numbers it may contain.

::

    results/<experiment>-<UTC time>/
        manifest.json            everything needed to repeat the run
        trials/<trial>.json      one record per finished trial; its presence is the commit point
        raw/<trial>.jsonl.gz     every sampled text, verbatim, and every value
        console/<trial>.log      what the guest kernel said
        trials.csv               one row per planned trial, failed ones among them
        samples.csv              one row per number, tidy
        checks.csv               one row per assertion: measured beside expected
    results/latest               symbolic link to the newest run

The CSV files are derived from the records and can be made again from them at any time.

Columns of ``samples.csv``, with one column per factor after ``trial``:

=========  ==========================================================================
run        name of the run's directory
trial      identity of the trial: its factor levels and its repeat
phase      phase announced by the workload
source     name of the counter module (``meminfo``, ``vmstat``, ``value``, ...)
metric     name of the number within its source
process    index of the worker the number belongs to; empty for the whole guest
value      the number
unit       its unit, one of :data:`UNITS` or a plural noun naming what is counted
=========  ==========================================================================
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

SCHEMA_VERSION: Final = 1

TRIAL_COLUMNS = ("run", "trial", "sequence", "repeat", "verdict", "attempts", "message", "excerpt")
SAMPLE_COLUMNS = ("run", "trial", "phase", "source", "metric", "process", "value", "unit")
CHECK_COLUMNS = (
    "run", "kind", "name", "subject", "measured", "expected", "allowed", "unit", "verdict",
)  # fmt: skip
# A factor becomes a column beside these, so it must not be called like one of them.
RESERVED = frozenset((*TRIAL_COLUMNS, *SAMPLE_COLUMNS, *CHECK_COLUMNS))

OK = "ok"
# The verdict of an attempt that ended well, and not as other rounds of the same exact trial did.
DISTURBED = "disturbed"

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
    """What executes the guest's instructions; it decides which numbers mean anything."""

    TCG = "tcg"
    EXACT = "exact"
    KVM = "kvm"


class InvalidMeasurement(ValueError):
    """A number that its accelerator cannot have measured."""


@dataclass(frozen=True)
class Validity:
    """Which kinds of number a run may contain.

    Counts (pages, faults, entries) are valid everywhere: emulation does not change what the
    guest's kernel counts. ``icount_shift`` is log2 of the guest nanoseconds per instruction of an
    exact run: its clock counts instructions, so a time becomes one.
    """

    accelerator: Accelerator
    icount_shift: int | None = None

    def __post_init__(self) -> None:
        if (self.accelerator is Accelerator.EXACT) != (self.icount_shift is not None):
            raise ValueError("an icount shift belongs to an exact run, and only to one")

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
            if self.accelerator is not Accelerator.EXACT:
                raise InvalidMeasurement(
                    f"instructions are counted only by an exact run, not under {self.accelerator}"
                )
        elif _TIME_IN_WORDS.fullmatch(unit):
            raise InvalidMeasurement(
                f"{unit!r} are no count: write a time in one of {', '.join(sorted(TIME_UNITS))}"
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
        exact, kvm = self.accelerator is Accelerator.EXACT, self.accelerator is Accelerator.KVM
        return {
            "counts": "valid and repeatable" if exact else "valid",
            "instructions": "valid: path lengths, no cache or TLB model" if exact else "absent",
            "time": "valid on an idle host" if kvm else "refused",
        }
