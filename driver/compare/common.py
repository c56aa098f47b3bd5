# SPDX-License-Identifier: Apache-2.0
"""What two runs have in common, and why the rest cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from driver.compare.numbers import Cell, Quantity, RunNumbers, describe, numbers
from driver.errors import UserError
from driver.experiment.conclusion import Conclusion
from driver.experiment.definition import level_text
from driver.results.manifest import Manifest
from driver.results.schema import OK
from driver.text import counted, value_text
from driver.validity import Accelerator

# More examples than these say no more.
_EXAMPLES = 3
# Of a digest, to tell one from another by eye.
_DIGITS = 12


@dataclass(frozen=True)
class Circumstance:
    """A difference between the runs that is not one of their numbers."""

    what: str
    first: str
    second: str


def matched(first: Conclusion, second: Conclusion) -> tuple[RunNumbers, RunNumbers, list[str]]:
    """The numbers of both runs in terms of the factors they share, and remarks on the others.

    A factor only one run has is dropped if it has one level there. Raises :class:`UserError` for
    runs of different experiments, and for a factor that cannot be dropped.
    """
    names = [item.run.manifest.experiment.name for item in (first, second)]
    if names[0] != names[1]:
        raise UserError(
            f"{first.run.name} is a run of {names[0]}, {second.run.name} one of {names[1]}",
            hint="Compare runs of one experiment; `driver list` shows them.",
        )
    factors = tuple(name for name in first.run.factors if name in second.run.factors)
    remarks = []
    for label, mine in (("A", first), ("B", second)):
        for name in (name for name in mine.run.factors if name not in factors):
            levels = {level_text(planned.factors[name]) for planned in mine.run.manifest.plan}
            if len(levels) > 1:
                raise UserError(
                    f"only {mine.run.name} has the factor {name}, with "
                    f"{counted(len(levels), 'level')}",
                    hint=f"Run it with one level: driver run experiment {names[0]} "
                    f"--only {name}=LEVEL",
                )
            remarks.append(f"only {label} has the factor {name}, always at {levels.pop()}")
    return numbers(first, factors), numbers(second, factors), remarks


def common_quantities(first: RunNumbers, second: RunNumbers) -> tuple[list[Quantity], list[str]]:
    """What both runs compute alike, and remarks on what they do not."""
    shared, remarks = [], []
    for name, quantity in first.quantities.items():
        other = second.quantities.get(name)
        if other is None:
            remarks.append(f"only A has {name}")
        elif other.formula != quantity.formula:
            remarks.append(
                f"{name} is computed differently in B: {_first_difference(quantity, other)}"
            )
        elif other.by != quantity.by:
            remarks.append(f"{name} is grouped differently in B: by {', '.join(other.by)}")
        else:
            shared.append(quantity)
    remarks += [f"only B has {name}" for name in second.quantities if name not in first.quantities]
    return shared, remarks


def common_cells(first: RunNumbers, second: RunNumbers) -> tuple[list[Cell], list[str]]:
    """The combinations of levels both runs planned, and remarks on those only one did."""
    remarks = []
    for label, mine, other in (("A", first, second), ("B", second, first)):
        alone = [cell for cell in mine.trials if cell not in other.trials]
        if alone:
            remarks.append(
                f"only {label} has {counted(len(alone), 'combination')} of levels: "
                f"{_examples(alone, other)}"
            )
    return [cell for cell in first.trials if cell in second.trials], remarks


def missing_results(label: str, found: RunNumbers) -> Iterator[str]:
    """Trials that were planned and have no result."""
    table = found.conclusion.run.trials
    bad = table[table["verdict"] != OK]
    if not bad.empty:
        named = [f"{row.trial} ({row.verdict})" for row in bad.head(_EXAMPLES).itertuples()]
        more = f", and {len(bad) - _EXAMPLES} more" if len(bad) > _EXAMPLES else ""
        yield f"{label} has no result for {counted(len(bad), 'trial')}: {', '.join(named)}{more}"


def unlike_trials(first: RunNumbers, second: RunNumbers) -> list[str]:
    """Trials that both runs planned and only one has finished: the runs cannot be called equal."""
    sides = (first.conclusion, second.conclusion)
    planned = [{trial.id for trial in side.run.manifest.plan} for side in sides]
    finished = [set(side.run.finished["trial"]) for side in sides]
    both = planned[0] & planned[1]
    return [
        f"only {label} has a result for {counted(len(alone), 'trial')} that both planned: "
        + ", ".join(sorted(alone)[:_EXAMPLES])
        + (f", and {len(alone) - _EXAMPLES} more" if len(alone) > _EXAMPLES else "")
        for label, alone in (
            ("A", both & finished[0] - finished[1]),
            ("B", both & finished[1] - finished[0]),
        )
        if alone
    ]


def fault_remarks(label: str, found: RunNumbers) -> Iterator[str]:
    """What was at fault in any attempt of a run."""
    yield from (f"{label}: {said}" for said in found.conclusion.faults.sentences())


def why_no_costs(first: Manifest, second: Manifest) -> str | None:
    """Why times and path lengths of two runs cannot be compared, or None if they can."""
    kinds = (first.accelerator, second.accelerator)
    if kinds[0] is not kinds[1]:
        return f"A ran under {kinds[0]} and B under {kinds[1]}: their costs are not comparable"
    if kinds[0] is Accelerator.TCG:
        return "times and path lengths are meaningless under tcg"
    if kinds[0] is Accelerator.ICOUNT and first.icount_shift != second.icount_shift:
        return (
            f"A ran with an icount shift of {first.icount_shift}, B of {second.icount_shift}: "
            "timer interrupts occur at different instructions"
        )
    if kinds[0] is Accelerator.KVM and first.host.cpu != second.host.cpu:
        return f"A ran on {first.host.cpu}, B on {second.host.cpu}: times on different processors"
    return None


def circumstances(first: Manifest, second: Manifest) -> list[Circumstance]:
    """Differences that are no numbers, and may be the cause of a change."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for side, manifest in enumerate((first, second)):
        for what, value in _conditions(manifest):
            found.setdefault(what, ({}, {}))[side][value] = None
    return [
        Circumstance(what, " or ".join(a) or "-", " or ".join(b) or "-")
        for what, (a, b) in found.items()
        if set(a) != set(b)
    ]


def _conditions(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Everything but the numbers: what, and how it was."""
    yield "accelerator", str(manifest.accelerator)
    yield "text of the experiment", manifest.experiment.digest[:_DIGITS]
    if manifest.options.keep_guest:
        yield "--keep-guest", "a write to kernel.panic before each workload"
    if manifest.options.source:
        yield "--source", manifest.options.source
    if manifest.options.unpatched_source:
        yield "--unpatched-source", manifest.options.unpatched_source
    for guest in manifest.guests:
        kernel, image = guest.kernel, guest.image
        name = "/".join(filter(None, (kernel.series, kernel.variant)))
        release = value_text(kernel.release)
        yield f"kernel of series {name}", f"{release} ({kernel.digest[:_DIGITS]})"
        yield "image", f"{image.name} ({image.digest[:_DIGITS]})"
        yield from ((f"{key} of series {name}", value_text(item)) for key, item in guest.machine)
        yield "QEMU", guest.qemu.version
        for instrument in guest.instruments:
            yield f"instrument {instrument.name}", instrument.digest[:_DIGITS]
    host = manifest.host
    yield "host", f"{host.cpu}, {host.cpus} processors, {host.system}, Linux {host.kernel}"


def _first_difference(mine: Quantity, other: Quantity) -> str:
    for old, new in zip(mine.formula, other.formula, strict=False):
        if old != new:
            return f"`{new}` instead of `{old}`"
    return "by other metrics"


def _examples(alone: list[Cell], other: RunNumbers) -> str:
    """Levels the other run lacks altogether, or else the first few combinations."""
    known = {item for cell in other.trials for item in cell}
    levels = dict.fromkeys(item for cell in alone for item in cell if item not in known)
    if levels and all(any(item in levels for item in cell) for cell in alone):
        return "those with " + ", ".join(describe((item,)) for item in levels)
    named = "; ".join(describe(cell) for cell in alone[:_EXAMPLES])
    return named + (f"; and {len(alone) - _EXAMPLES} more" if len(alone) > _EXAMPLES else "")
