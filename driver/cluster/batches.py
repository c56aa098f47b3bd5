# SPDX-License-Identifier: Apache-2.0
"""Batches: trials that a host is given together, and what comes back.

Batches take about ten seconds, so that what a host costs the driver does not grow with the number
of trials, and become single trials towards the end.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from driver.cluster.dask_client import Cancelled, DaskClient, Gone
from driver.cluster.fleet import Remote
from driver.cluster.leases import Lease
from driver.cluster.messages import Outcome, Outcomes
from driver.errors import GuestLost, HostError
from driver.experiment.attempt import Measuring
from driver.experiment.outcome import TrialOutcome
from driver.experiment.plan import Trial
from driver.results.record import Attempt

if TYPE_CHECKING:
    from distributed import Future as DaskFuture

_log = logging.getLogger(__name__)

BATCH_SECONDS = 10.0
_MOST_IN_BATCH = 200


@dataclass
class Wanted:
    """A trial that somebody waits for. ``failures`` are those of hosts; ``avoid`` are these."""

    trial: Trial
    future: Future[TrialOutcome]
    failures: list[Attempt] = field(default_factory=list)
    avoid: set[str] = field(default_factory=set)


@dataclass
class Batch:
    """Trials that a host has been given. ``void`` is set once its leases are revoked."""

    host: Remote
    leases: list[Lease]
    task: DaskFuture[bytes]
    until: float
    void: bool = False


@dataclass(frozen=True)
class Answer:
    """What came of a batch: outcomes and the trials' numbers, or why there are none."""

    key: str
    outcomes: Sequence[tuple[Outcome, TrialOutcome | None]] = ()
    problem: str = ""
    cancelled: bool = False


class Waiting:
    """Trials that no host has, in the order in which they are to be tried."""

    def __init__(self) -> None:
        self._trials: deque[Wanted] = deque()

    def __bool__(self) -> bool:
        return bool(self._trials)

    def add(self, wanted: Wanted, *, first: bool = False) -> None:
        if first:
            self._trials.appendleft(wanted)
        else:
            self._trials.append(wanted)

    def take_all(self) -> list[Wanted]:
        """All of them; none is left."""
        found = list(self._trials)
        self._trials.clear()
        return found

    def choose(self, host: Remote, ready: Collection[Remote]) -> list[Wanted]:
        """The next trials for a host: about ten seconds' worth, and less towards the end."""
        slots = sum(each.slots for each in ready)
        fair = math.ceil(len(self._trials) / (2 * slots))
        most = max(1, min(batch_size(host), fair))
        others = {each.name for each in ready} - {host.name}
        chosen: list[Wanted] = []
        left: list[Wanted] = []
        while self._trials and len(chosen) < most:
            wanted = self._trials.popleft()
            # A host that failed with a trial gets it again only if there is nobody else.
            elsewhere = host.name in wanted.avoid and bool(others - wanted.avoid)
            (left if elsewhere else chosen).append(wanted)
        self._trials.extendleft(reversed(left))
        return chosen


def batch_size(host: Remote) -> int:
    """How many trials a host does in ten seconds; one until that is known."""
    if not host.seconds:
        return 1
    return max(1, min(_MOST_IN_BATCH, round(BATCH_SECONDS / host.seconds)))


def answer_of(batch: Batch, key: str, client: DaskClient, measuring: Measuring) -> Answer:
    """Bring what came of a batch here, and read it."""
    name = batch.host.name
    try:
        content = client.answer(batch.task, batch.host.address)
        known = {lease.token for lease in batch.leases}
        arrived = Outcomes.read(content, name)
        boots = arrived.boot_texts(name)
        found = [each for each in arrived.outcomes if each.token in known]
        return Answer(key, [(each, _read(each, measuring, name, boots)) for each in found])
    except Gone as error:
        return Answer(key, problem=str(error), cancelled=isinstance(error, Cancelled))
    except HostError as error:
        return Answer(key, problem=error.message)
    except Exception as error:  # whatever a host sends, its trials must not wait for ever
        _log.exception("the answer of %s", name)
        return Answer(key, problem=f"{type(error).__name__}: {error}")


def _read(
    outcome: Outcome, measuring: Measuring, sender: str, boots: Mapping[str, str]
) -> TrialOutcome | None:
    if outcome.attempt is None:
        return None
    return outcome.outcome(measuring, sender, boots)


def lost_attempt(reason: str) -> Attempt:
    """An attempt that the infrastructure made fail: it says nothing of the trial."""
    return Attempt(
        verdict=GuestLost.verdict,
        exit_status=GuestLost.exit_status,
        message=reason,
        host_seconds=0.0,
        host_fault=True,
    )


def is_host_fault(attempt: Attempt) -> bool:
    """Whether the host or QEMU made an attempt fail, and not the trial."""
    return bool(attempt.host_fault)
