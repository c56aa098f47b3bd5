# SPDX-License-Identifier: Apache-2.0
"""The outcome of one attempt at a trial: a verdict, and what it left behind."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from driver.counters.source import UnreadableSource
from driver.errors import EmulatorFault, GuestError, GuestSplat, WorkloadFailed
from driver.experiment.plan import Trial
from driver.guest.job import JobResult
from driver.guest.splat_classifier import Splat, classify
from driver.instruments.instrument import UnreadableObservation
from driver.process import describe_status
from driver.results.observations import Observations
from driver.results.record import Attempt, Fault, canonical
from driver.results.schema import OK
from driver.results.tidy import TrialNumbers
from driver.text import last_lines

_EXCERPT_LINES = 20


@dataclass
class Traces:
    """What a guest has shown, whether or not its job succeeded.

    ``boot`` is what its console had shown before it was forked. ``evidence`` are digests of what
    only the guest could show (see ``TrialGuest``), ``seen`` the tables of the instruments that
    watched it.
    """

    boot: str = ""
    console: str = ""
    result: JobResult | None = None
    evidence: Mapping[str, str] = field(default_factory=dict)
    seen: Observations = field(default_factory=dict)
    numbers: TrialNumbers = field(default_factory=TrialNumbers)


@dataclass(frozen=True)
class TrialOutcome:
    """One try: what the record will say of it, and its traces.

    ``earlier`` are tries before it that the infrastructure made fail, of a trial that was then
    tried elsewhere.
    """

    attempt: Attempt
    traces: Traces
    earlier: tuple[Attempt, ...] = ()


def success(traces: Traces, seconds: float) -> TrialOutcome:
    """The job did what it was asked to; ``seconds`` is how long the host was busy."""
    splats = _splats(traces)
    attempt = Attempt(
        verdict=OK,
        host_seconds=seconds,
        excerpt=splats[0].text() if splats else "",
        complaints=_complaints(splats),
        host_fault=False,
    )
    return TrialOutcome(attempt, traces)


def failure(
    error: GuestError | UnreadableSource | UnreadableObservation, traces: Traces, seconds: float
) -> TrialOutcome:
    """Something went wrong: the result, if there is one, is worth nothing."""
    kept = Traces(boot=traces.boot, console=traces.console)
    if isinstance(error, UnreadableSource | UnreadableObservation):
        attempt = Attempt(
            verdict="unreadable",
            exit_status=WorkloadFailed.exit_status,
            message=str(error),
            host_seconds=seconds,
            complaints=_complaints(_splats(traces)),
            host_fault=False,
        )
        return TrialOutcome(attempt, kept)
    # What a processor that was emulated wrongly complains of is not the kernel's.
    broken = isinstance(error, EmulatorFault)
    complaints = [] if broken else _complaints(_splats(traces))
    if isinstance(error, GuestSplat) and not complaints:
        complaints = [Fault(kind=error.kind, message=error.message)]
    attempt = Attempt(
        verdict=error.verdict,
        exit_status=error.exit_status,
        message=error.message,
        excerpt=error.excerpt or last_lines(traces.console.strip(), _EXCERPT_LINES),
        host_seconds=seconds,
        complaints=complaints,
        host_fault=error.host_fault,
    )
    return TrialOutcome(attempt, kept)


def _splats(traces: Traces) -> list[Splat]:
    """Everything the kernel complained of, from its boot on."""
    return [*classify(traces.boot), *classify(traces.console)]


def _complaints(splats: Sequence[Splat]) -> list[Fault]:
    return [Fault(kind=splat.kind, message=splat.message) for splat in splats]


def digests(traces: Traces) -> dict[str, str]:
    """SHA-256 (hex) of everything a successful trial left, for comparing runs that repeat."""
    if traces.result is None:
        return {}
    return {
        "console": hashlib.sha256(traces.console.encode("utf-8", "surrogateescape")).hexdigest(),
        "result": hashlib.sha256(canonical(traces.result)).hexdigest(),
        **traces.evidence,
    }


def demand_no_complaint(traces: Traces, allowed: Collection[str]) -> None:
    """Raise :class:`GuestSplat` for a complaint that came after the guest was last looked at."""
    for splat in _splats(traces):
        if splat.kind not in allowed:
            raise GuestSplat(
                f"the guest's kernel reported {splat.kind}: {splat.message}",
                kind=splat.kind,
                excerpt=splat.text(),
            )


def demand_success(trial: Trial, result: JobResult) -> None:
    """Raise :class:`WorkloadFailed` unless the job ended well and announced what it should.

    A workload that skipped a phase measured something else than it was asked to.
    """
    if result.status != 0:
        raise WorkloadFailed(
            f"`{trial.job.argv[0]}` {describe_status(result.status)}",
            excerpt=last_lines(result.output.strip(), _EXCERPT_LINES),
        )
    if not trial.job.sources:
        return
    seen = list(dict.fromkeys(sample.phase for sample in result.samples))
    if seen != list(trial.phases):
        raise WorkloadFailed(
            f"trial {trial.id} announced the phases {', '.join(seen) or '(none)'}; "
            f"expected {', '.join(trial.phases)}"
        )
