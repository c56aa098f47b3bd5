# SPDX-License-Identifier: Apache-2.0
"""How far trials that should repeat do: across the rounds of a run, and across runs.

Two trials repeat if everything they left has the same digest. That is only expected of exact runs;
the counts of others are compared anyway, since a reader may want to see the difference.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from driver.errors import UserError
from driver.results.directory import RunDirectory
from driver.results.manifest import Level, Manifest, read_manifest
from driver.results.record import TrialRecord, read_raw, read_record
from driver.results.schema import DISTURBED
from driver.results.tidy import Number, numbers
from driver.validity import Accelerator

# Series and variant of a kernel.
_Name = tuple[str, str | None]


@dataclass
class Group:
    """All finished trials with the same factors under one accelerator.

    ``digests`` are the different ones found, by what they are of; ``counts`` the different sets
    of numbers that entered the results. ``seconds`` is how long the host was busy with each trial
    that ran alone, ``disturbed`` how many attempts at them were not like the others, and do not
    count.
    """

    factors: Mapping[str, Level]
    accelerator: Accelerator
    trials: int = 0
    disturbed: int = 0
    digests: dict[str, set[str]] = field(default_factory=dict)
    counts: set[tuple[Number, ...]] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)

    @property
    def repeats(self) -> bool:
        """Whether nothing differs; a single trial has nothing to differ from."""
        return all(len(found) == 1 for found in self.digests.values()) and len(self.counts) == 1

    @property
    def median_seconds(self) -> float | None:
        return statistics.median(self.seconds) if self.seconds else None

    def add(self, record: TrialRecord, counts: Sequence[Number], *, alone: bool) -> None:
        self.trials += 1
        self.disturbed += sum(attempt.verdict == DISTURBED for attempt in record.attempts)
        for name, digest in record.digests.items():
            self.digests.setdefault(name, set()).add(digest)
        self.counts.add(tuple(counts))
        if alone:
            self.seconds.append(record.last.host_seconds)


def repeatability(runs: Sequence[RunDirectory]) -> list[Group]:
    """The groups of all finished trials of some runs, in the order of their plans.

    Raises :class:`UserError` for runs whose trials nobody would expect to agree: of different
    experiments, kernels, images or machines.
    """
    manifests = [read_manifest(run) for run in runs]
    for manifest in manifests[1:]:
        _check_comparable(manifests[0], manifest)
    groups: dict[tuple[object, ...], Group] = {}
    for run, manifest in zip(runs, manifests, strict=True):
        for planned in manifest.plan:
            key = (manifest.accelerator, *planned.factors.items())
            group = groups.setdefault(key, Group(planned.factors, manifest.accelerator))
            record = read_record(run, planned.id)
            if record is not None and record.ok:
                group.add(record, _counts(run, manifest, record), alone=manifest.options.jobs == 1)
    return [group for group in groups.values() if group.trials]


def slowdown(groups: Sequence[Group], group: Group) -> float | None:
    """How many times longer than under plain emulation an exact trial took, if both were run."""
    plain = [
        other
        for other in groups
        if other.accelerator is Accelerator.TCG and other.factors == group.factors
    ]
    if group.accelerator is not Accelerator.ICOUNT or not plain:
        return None
    exact, other = group.median_seconds, plain[0].median_seconds
    return exact / other if exact and other else None


def _counts(run: RunDirectory, manifest: Manifest, record: TrialRecord) -> list[Number]:
    return numbers(read_raw(run, record.id), manifest.keep, manifest.validity).kept


def _check_comparable(first: Manifest, other: Manifest) -> None:
    same = {
        "experiment": first.experiment.digest == other.experiment.digest,
        "kernels": _agree(_kernels(first), _kernels(other)),
        "images": first.guests[0].image.digest == other.guests[0].image.digest,
    }
    for part, agrees in same.items():
        if not agrees:
            raise UserError(
                f"the runs {first.run} and {other.run} differ in their {part}",
                hint="Name runs of the same plan: only trials with the same inputs can repeat.",
            )


def _kernels(manifest: Manifest) -> dict[_Name, str]:
    """The digests of the kernels of a run, by series and variant."""
    kernels = [guest.kernel for guest in manifest.guests]
    return {(kernel.series, kernel.variant): kernel.digest for kernel in kernels}


def _agree(first: Mapping[_Name, str], other: Mapping[_Name, str]) -> bool:
    return all(first[name] == other[name] for name in first.keys() & other.keys())
