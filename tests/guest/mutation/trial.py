# SPDX-License-Identifier: Apache-2.0
"""Whether the semantic tests notice that a safeguard is missing."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from programs import RAW_DEVICE, SWITCH, TOLERATED

from driver.deadline import Deadline
from driver.errors import GuestError, GuestSplat
from driver.guest.job import Job, Write
from driver.guest.template import Template
from mutation.mutants import Mutant
from mutation.schemata import PARAMETER

EVERYTHING = ("*",)

_FAILED = re.compile(r"^not ok \d+ - (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Verdict:
    """``caught_by`` names a case, or says how the kernel ended; None if nothing was noticed."""

    name: str
    caught_by: str | None
    seconds: float
    output: str = ""


@dataclass(frozen=True)
class Patience:
    """Seconds: for one case, and for all of them."""

    case: int = 90
    everything: int = 3600


def examine(
    template: Template, mutant: Mutant | None, folder: Path, patience: Patience, *, thorough: bool
) -> Verdict:
    """Run the cases a mutant is expected to fail and, if it does not, all others.

    No mutant means the series itself, which must pass everything. Not ``thorough``: the expected
    cases only.
    """
    began = time.monotonic()
    name = mutant.name if mutant else "none"
    rounds = [mutant.cases if mutant else EVERYTHING]
    if mutant and thorough:
        rounds.append(EVERYTHING)
    output = ""
    for number, cases in enumerate(rounds):
        caught_by, output = _run(
            template, mutant.number if mutant else 0, cases, folder / f"{name}-{number}", patience
        )
        if caught_by is not None:
            return Verdict(name, caught_by, time.monotonic() - began, output)
    return Verdict(name, None, time.monotonic() - began, output)


def _run(
    template: Template, number: int, cases: Sequence[str], folder: Path, patience: Patience
) -> tuple[str | None, str]:
    only = [word for case in cases for word in ("--only", case)]
    job = Job(
        argv=[
            "semantics",
            "--directory",
            "/mnt/dax",
            "--raw-device",
            RAW_DEVICE,
            "--timeout",
            str(patience.case),
            "--stop",
            *only,
        ],
        # The switch first: it is what patches the static branch in.
        setup=(Write(SWITCH, "1"), Write(PARAMETER, str(number))),
        timeout=patience.everything,
    )
    try:
        with template.fork(folder, tolerate=TOLERATED) as guest:
            result = guest.run(
                job, Deadline.after(patience.everything, "a mutant's semantic tests")
            )
    except GuestSplat as error:
        return f"the kernel: {error.kind}", error.excerpt or error.message
    except GuestError as error:
        return f"the kernel: {error.verdict}", error.message
    failed = _FAILED.search(result.output)
    if failed:
        return failed[1], result.output
    if result.status:
        return f"status {result.status}", result.output
    return None, result.output
