# SPDX-License-Identifier: Apache-2.0
"""From the raw texts of one trial to the numbers that may enter ``samples.csv``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from driver.counters import by_path, sources
from driver.counters.source import Scope, UnreadableSource
from driver.guest.job import JobResult
from driver.validity import InvalidMeasurement, Validity

WORKLOAD_SOURCE = "value"


@dataclass(frozen=True)
class Number:
    """One row of ``samples.csv`` but for the run, the trial and its factors."""

    phase: str
    source: str
    metric: str
    process: int | None
    value: int | float
    unit: str


@dataclass
class TrialNumbers:
    """The numbers of one trial, and why others were left out."""

    kept: list[Number] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


def numbers(
    result: JobResult, keep: Mapping[str, Sequence[str]], validity: Validity
) -> TrialNumbers:
    """Parse everything sampled, keep the metrics that match, refuse what cannot be valid.

    Of a phase that was announced several times the last announcement counts.
    ``keep`` maps a source's name to patterns of metric names; sources not in it are dropped, and
    values of the workload are always kept. Raises :class:`UnreadableSource` for a text that is
    not what its source promises.
    """
    found = TrialNumbers()
    found.refused += _unsettled(result)
    for number in _all(result):
        patterns = keep.get(number.source, () if number.source != WORKLOAD_SOURCE else ("*",))
        if not any(fnmatchcase(number.metric, pattern) for pattern in patterns):
            continue
        try:
            validity.admit_source(number.source, sources()[number.source].valid)
            value, unit = validity.admit(number.value, number.unit)
        except InvalidMeasurement as error:
            found.refused.append(f"{number.phase}: {number.source} {number.metric}: {error}")
            continue
        found.kept.append(
            Number(number.phase, number.source, number.metric, number.process, value, unit)
        )
    return found


def _unsettled(result: JobResult) -> list[str]:
    """Phases at which the kernel was still freeing page tables: their counts are too high."""
    phases = dict.fromkeys(sample.phase for sample in result.samples if not sample.settled)
    return [f"{phase}: page tables were still being freed, and are counted" for phase in phases]


def _all(result: JobResult) -> Iterator[Number]:
    sources = by_path()
    latest = {sample.phase: sample.time_ns for sample in result.samples}
    for sample in result.samples:
        if sample.time_ns != latest[sample.phase]:
            continue
        source = sources.get(sample.source)
        if source is None:
            raise UnreadableSource(f"no counter module reads {sample.source!r}")
        if (source.scope is Scope.PROCESS) != (sample.process is not None):
            raise UnreadableSource(f"{source.name}: sampled with process={sample.process}")
        for reading in source.parse(sample.text):
            yield Number(
                sample.phase,
                source.name,
                reading.metric,
                sample.process,
                reading.value,
                reading.unit,
            )
    for value in result.values:
        whole = int(value.value) if float(value.value).is_integer() else value.value
        yield Number(value.phase, WORKLOAD_SOURCE, value.name, None, whole, value.unit)
