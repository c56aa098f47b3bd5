# SPDX-License-Identifier: Apache-2.0
"""The hosts of a cluster, as a driver sees them: who is there, who may run trials, and why not.

A host that appears is asked what it is, given what it lacks, and has its guests prepared; each of
these may end in a refusal by name. The first that is admitted is what all others are compared with.
Nothing here compares clocks of different hosts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum

from driver import __version__
from driver.cluster import host as tasks
from driver.cluster import software
from driver.cluster.connection import SILENCE
from driver.cluster.dask_client import DaskClient, Gone, WorkerInfo
from driver.cluster.messages import GuestOrder, Inspection, Prepared, SessionOrder, Software
from driver.cluster.transfer import Shipment, Shipper
from driver.errors import HostError
from driver.experiment.run_manifest import differences
from driver.progress import Reporter
from driver.results.guest_record import GuestRecord
from driver.text import counted, reason

_log = logging.getLogger(__name__)

# A host that fails so often in a row, for reasons that are not a trial's, is set aside.
STRIKES = 2
# How long a run waits while no host can take trials, in seconds.
PATIENCE = 300.0
# Seconds for all hosts to forget a session.
_CLOSING = 10.0
# Hosts that are prepared at the same time.
_JOINING = 32


class State(StrEnum):
    """What a host may do; only one that is ready is given trials."""

    JOINING = "joining"
    READY = "ready"
    REFUSED = "refused"
    ASIDE = "set aside"
    SILENT = "silent"
    GONE = "gone"


@dataclass
class Remote:
    """One Dask worker. ``name`` stays when a host comes back, ``address`` does not."""

    name: str
    address: str
    slots: int
    state: State = State.JOINING
    reason: str = ""
    busy: int = 0
    seen: float = 0.0
    seen_at: float = field(default_factory=time.monotonic)
    seconds: float = 0.0  # of an average trial here
    software: Software | None = None

    @property
    def free(self) -> int:
        return self.slots - self.busy if self.state is State.READY else 0


@dataclass(frozen=True)
class Demand:
    """What every host must come up to: its guests, the artifacts for them, and what it may be.

    ``reference`` are the guests of a run that is resumed; ``crowded`` is whether several guests at
    a time may run under KVM.
    """

    accel: str
    guests: Sequence[GuestOrder]
    artifacts: Sequence[Shipment]
    keep: Mapping[str, list[str]]
    digest_nvdimm: bool
    crowded: bool
    allowed: Sequence[str] = ()
    timeout_factor: float = 1.0
    reference: Sequence[GuestRecord] | None = None


class Fleet:
    """Keeps track of hosts; call :meth:`poll` every second or so, from one thread."""

    def __init__(self, client: DaskClient, demand: Demand, reporter: Reporter) -> None:
        self.client = client
        self.session = uuid.uuid4().hex
        self.hosts: dict[str, Remote] = {}
        self.on_admitted: Callable[[Remote], None] = lambda _host: None
        self.on_refused: Callable[[Remote], None] = lambda _host: None
        self._demand = demand
        self._reporter = reporter
        self._strikes: dict[str, int] = {}
        self._aside: dict[str, str] = {}
        self._first: Prepared | None = None
        self._first_software: Software | None = None
        self._never_ready: Prepared | None = None
        self._lock = threading.Lock()
        self._shipper = Shipper(client, self._sources)
        self._pool = ThreadPoolExecutor(_JOINING, thread_name_prefix="joining")
        self._stopped = threading.Event()

    def first(self) -> Prepared:
        """Wait until a host has prepared its guests; what a manifest says of them.

        If every host is refused, and one because a guest was never ready there, that one's answer.
        Raises :class:`HostError` if none has within :data:`PATIENCE`, while none is at work.
        """
        idle_since = time.monotonic()
        while self._first is None:
            self.poll()
            if any(host.state is State.JOINING for host in self.hosts.values()):
                idle_since = time.monotonic()
            refused = self.hosts and all(
                host.state is State.REFUSED for host in self.hosts.values()
            )
            if refused and self._never_ready is not None:
                return self._never_ready
            if refused or time.monotonic() - idle_since > PATIENCE:
                raise self.nobody()
            time.sleep(0.1)
        return self._first

    def nobody(self) -> HostError:
        """The error of a run that has no host to run on, naming each and why."""
        reasons = [f"{host.name}: {host.reason or host.state}" for host in self.hosts.values()]
        reasons += [
            f"{name}: {why}"
            for name, why in self._aside.items()
            if name not in {host.name for host in self.hosts.values()}
        ]
        return HostError(
            "no host of the cluster can run trials",
            excerpt="\n".join(sorted(set(reasons))) or f"no host joined within {PATIENCE:.0f} s",
            hint=f"Start a host: driver worker {self.client.address}",
        )

    def poll(self) -> None:
        """Look who is there. Raises :class:`HostError` once the scheduler is gone for good."""
        found = self.client.workers()
        if found is None:  # the scheduler did not answer, this time
            return
        now = time.monotonic()
        for info in found:
            known = self.hosts.get(info.address)
            if known is None:
                self._welcome(info)
            elif info.last_seen != known.seen:
                known.seen, known.seen_at = info.last_seen, now
                if known.state is State.SILENT:
                    self._reporter.note(f"host {known.name} answers again")
                    known.state = State.READY
            elif known.state is State.READY and now - known.seen_at > SILENCE:
                known.state, known.reason = State.SILENT, f"silent for {SILENCE:.0f} s"
                self._reporter.note(f"host {known.name} has been silent for {SILENCE:.0f} s")
        present = {info.address for info in found}
        for address in [address for address in self.hosts if address not in present]:
            gone = self.hosts.pop(address)
            if gone.state is not State.REFUSED:
                self._reporter.note(f"host {gone.name} has left the cluster")
            gone.state, gone.reason = State.GONE, gone.reason or "it has left the cluster"

    def ready(self) -> list[Remote]:
        """Hosts that may be given trials."""
        return [host for host in self._all() if host.state is State.READY]

    @property
    def waiting(self) -> bool:
        """Whether a host may become ready without anybody's help."""
        return any(host.state in (State.JOINING, State.SILENT) for host in self._all())

    def _all(self) -> list[Remote]:
        """A copy: other threads ask while hosts come and go."""
        return list(self.hosts.values())

    def strike(self, host: Remote, why: str) -> None:
        """The infrastructure failed on a host; twice in a row, and it is set aside."""
        self._strikes[host.name] = self._strikes.get(host.name, 0) + 1
        self._reporter.note(f"host {host.name} failed: {why}")
        if self._strikes[host.name] >= STRIKES:
            self.set_aside(host, f"{STRIKES} failures in a row; the last: {why}")

    def success(self, host: Remote) -> None:
        """A host did what it was asked to."""
        self._strikes.pop(host.name, None)

    def set_aside(self, host: Remote, reason: str) -> None:
        """Give a host nothing more in this run."""
        self._aside[host.name] = reason
        host.reason = reason
        if host.state is not State.GONE:
            host.state = State.ASIDE
        self._reporter.note(f"host {host.name} is set aside: {reason}")
        self.on_refused(host)

    def close(self) -> None:
        """Let hosts forget the session; called when no batch runs any more."""
        self._stopped.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        reached = (State.READY, State.ASIDE, State.JOINING)
        addresses = [host.address for host in self.hosts.values() if host.state in reached]
        until = time.monotonic() + _CLOSING
        with contextlib.suppress(Exception):  # the scheduler may be gone
            asked = [self.client.submit(each, tasks.close, self.session) for each in addresses]
            for address, future in zip(addresses, asked, strict=True):
                with contextlib.suppress(HostError, Gone):
                    self.client.answer(future, address, max(0.1, until - time.monotonic()))

    def _welcome(self, info: WorkerInfo) -> None:
        host = Remote(info.name, info.address, info.slots, seen=info.last_seen)
        self.hosts[info.address] = host
        if host.name in self._aside:
            host.state, host.reason = State.ASIDE, self._aside[host.name]
        elif host.slots < 1:
            self._refuse(host, "it offers no resource `guests`: start it with `driver worker`")
        else:
            self._pool.submit(self._join, host)

    def _join(self, host: Remote) -> None:
        try:
            problem = self._admit(host)
        except (HostError, Gone) as error:
            problem = reason(error)
        except Exception as error:  # a bug of ours must not leave the host joining for ever
            _log.exception("host %s cannot join", host.name)
            problem = f"{type(error).__name__}: {reason(error)}"
        if problem and not self._stopped.is_set() and host.state is State.JOINING:
            self._refuse(host, problem)

    def _admit(self, host: Remote) -> str:
        """Everything between a host's appearance and its first trial; a problem, or nothing."""
        wanted = [shipment.digests for shipment in self._demand.artifacts]
        asked = json.dumps([each.model_dump(mode="json") for each in wanted]).encode()
        found = Inspection.read(self.client.call(host.address, tasks.inspect, asked), host.name)
        host.software = found.software
        if found.problem or found.software is None:
            return found.problem or "it does not say which software it runs"
        problem = software.software_problem(
            (__version__, software.driver_files()), found.software
        ) or self._qemu_problem(found.software)
        if problem:
            return problem
        for shipment in self._demand.artifacts:
            if shipment.digests.digest in found.lacks:
                self._shipper.send(shipment, host.address, host.name)
            else:
                self._shipper.has(shipment, host.address)
        answer = self.client.call(host.address, tasks.prepare, self._order(host), guests=1)
        prepared = Prepared.read(answer, host.name)
        if prepared.never_ready is not None:
            self._never_ready = prepared
        problem = prepared.problem or self._guests_problem(host, prepared)
        if not problem:
            host.state = State.READY
            self._reporter.note(
                f"host {host.name} joins with {counted(host.slots, 'guest')} at a time"
            )
            self.on_admitted(host)
        return problem

    def _qemu_problem(self, found: Software) -> str:
        with self._lock:
            first = self._first_software
        return software.qemu_problem(first, found) if first else ""

    def _guests_problem(self, host: Remote, prepared: Prepared) -> str:
        if prepared.accel == "kvm" and host.slots > 1 and not self._demand.crowded:
            return (
                f"under KVM {host.slots} guests at a time disturb each other: start it with "
                "`driver worker --guests 1`, or the run with --force"
            )
        if len(prepared.guests) != len(self._demand.guests):
            return "it has not prepared all guests"
        reference = self._demand.reference
        if reference is not None:
            for before, now in zip(reference, prepared.guests, strict=False):
                for part in differences(before, now):
                    return f"the {part} of its guests is not that of the guests the run began with"
        with self._lock:
            if self._first is None:
                self._first, self._first_software = prepared, host.software
                return ""
            first, first_software = self._first, self._first_software
        if first_software is not None and host.software is not None:
            problem = software.qemu_problem(first_software, host.software)
            if problem:
                return problem
        return software.guests_problem(first, prepared)

    def _order(self, host: Remote) -> bytes:
        demand = self._demand
        order = SessionOrder(
            session=self.session,
            accel=self._first.accel if self._first else demand.accel,
            slots=host.slots,
            guests=list(demand.guests),
            keep={name: list(found) for name, found in demand.keep.items()},
            digest_nvdimm=demand.digest_nvdimm,
            allowed=list(demand.allowed),
            timeout_factor=demand.timeout_factor,
        )
        return order.text().encode()

    def _refuse(self, host: Remote, reason: str) -> None:
        host.state, host.reason = State.REFUSED, reason
        self._reporter.note(f"host {host.name} is refused: {reason}")
        self.on_refused(host)

    def _sources(self) -> Iterator[str]:
        """Addresses of hosts that others may fetch from."""
        return (host.address for host in list(self.hosts.values()) if host.state is State.READY)
