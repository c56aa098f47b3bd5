# SPDX-License-Identifier: Apache-2.0
"""What a host does for a driver: functions that Dask calls as tasks in its worker process.

Each takes and returns JSON texts of :mod:`driver.cluster.messages` as bytes, and raises nothing:
why something failed is part of the answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.cluster import parcels
from driver.cluster.messages import (
    BatchOrder,
    FileDigests,
    Inspection,
    Outcomes,
    Prepared,
    SessionOrder,
    Written,
    measuring_of,
)
from driver.cluster.portable import unpack
from driver.cluster.software import own_software
from driver.errors import DriverError, GuestError, HostError
from driver.experiment.attempt import Attempts, GuestFactory, Interrupted, Measuring
from driver.experiment.boot_failure import NeverReady
from driver.experiment.outcome import TrialOutcome, digests
from driver.experiment.plan import GuestRequest, Trial
from driver.experiment.prepared_record import guest_record
from driver.guest.accel import Choice, Requested, choose_or_emulate
from driver.guest.job import Job
from driver.guest.template import Templates
from driver.guest.template_recipe import TemplateRecipe
from driver.results.guest_record import GuestRecord
from driver.store import Store
from driver.text import reason
from driver.validity import Accelerator

if TYPE_CHECKING:
    from distributed import Worker

_log = logging.getLogger(__name__)

# A short trial. What it prints is the same anywhere; the counters and the console, with times to
# the microsecond, are the same where the guest executes the same instructions.
_PROBE = Job(
    argv=("sh", "-c", "seq 2000 | md5sum; cat /proc/vmstat /proc/interrupts /proc/uptime"),
    timeout=30.0,
)
# So often, until two agree: a busy host disturbs a guest under icount now and then.
_PROBES = 4
# Seconds between two looks whether a batch is still wanted.
_LOOK_EVERY = 0.2
# Sessions are small but for the templates that they keep from being pruned.
_MOST_SESSIONS = 4


@dataclass(frozen=True)
class Guests:
    """The guests of a session: factories and records in the order that the driver asked for.

    If one was never ready, it has the last record, and those behind it were not tried.
    """

    choice: Choice
    factories: Sequence[GuestFactory]
    records: Sequence[GuestRecord]
    never_ready: NeverReady | None = None


@dataclass(frozen=True)
class _Session:
    """What was prepared for one run."""

    requests: Sequence[GuestRequest]
    guests: Guests
    measuring: Measuring
    slots: int
    store: Store

    def attempts(self, scratch: Path) -> Attempts:
        factories = dict(zip(self.requests, self.guests.factories, strict=True))
        return Attempts(factories, self.measuring, scratch, self.slots)


_sessions: dict[str, _Session] = {}
_lock = threading.Lock()


def inspect(wanted: bytes) -> bytes:
    """What this host is, and which of the artifacts (a JSON list) it lacks."""
    try:
        store = _store()
        listed = [FileDigests.model_validate(each) for each in json.loads(wanted)]
        lacks = [each.digest for each in listed if parcels.lacking(store, each)]
        return Inspection(software=own_software(), lacks=lacks).text().encode()
    except (DriverError, OSError) as error:
        return Inspection(problem=reason(error, file=True)).text().encode()


def read_piece(kind: str, digest: str, name: str, offset: int) -> bytes:
    """A piece of an artifact that this host has; empty if it has it no longer."""
    try:
        path = _artifact(kind, digest)
        return b"" if path is None else parcels.read_piece(path / name, offset)
    except OSError:
        return b""


def write_piece(transfer: str, name: str, offset: int, packed: bytes) -> bytes:
    """Put a piece where the pieces of a transfer are collected."""
    try:
        if not packed:
            raise HostError("the host that should send it no longer has it")
        parcels.write_piece(parcels.incoming(_store(), transfer), name, offset, packed)
    except (DriverError, OSError) as error:
        return Written(problem=reason(error, file=True)).text().encode()
    return Written(size=len(packed)).text().encode()


def publish(transfer: str, wanted: bytes, sizes: bytes) -> bytes:
    """Check what was collected and make an artifact of it; the answer says what was wrong."""
    try:
        store = _store()
        order = FileDigests.model_validate_json(wanted)
        parcels.publish(store, order, json.loads(sizes), parcels.incoming(store, transfer))
    except (DriverError, OSError) as error:
        return reason(error, file=True).encode()
    return b""


def prepare(text: bytes) -> bytes:
    """Boot and save a guest of each kind of a session; answer what a manifest says of them."""
    try:
        order = SessionOrder.read(text, "the driver")
        store = _store()
        sweep(store)
        guests = prepare_guests(order, store)
        if guests.never_ready is not None:
            outcome = guests.never_ready.outcome
            return Prepared.failed(guests.choice, [*guests.records], outcome).text().encode()
        session = _open(order, guests, store)
        with _lock:
            _sessions.pop(order.session, None)
            _sessions[order.session] = session
            while len(_sessions) > _MOST_SESSIONS:
                _sessions.pop(next(iter(_sessions)))
        probe = _probe(session) if session.guests.choice.accel == "icount" else {}
        choice = guests.choice
        records = list(guests.records)
        answer = Prepared(accel=choice.accel, reason=choice.reason, guests=records, probe=probe)
    except (DriverError, OSError) as error:
        return Prepared(problem=_sentence(error)).text().encode()
    return answer.text().encode()


def run_batch(text: bytes) -> bytes:
    """Try trials one after the other, until all are done or nobody wants them any more."""
    order = BatchOrder.read(text, "the driver")
    with _lock:
        session = _sessions.get(order.session)
    if session is None:
        problem = "this host was started again and has forgotten the run"
        return Outcomes.of((each.token, problem) for each in order.trials).text().encode()
    with scratch(session.store) as folder:
        attempts = session.attempts(folder)
        with _halted_when_unwanted(attempts.halt):
            return Outcomes.of(_outcomes(session, order, attempts)).text().encode()


def close(session: str) -> bytes:
    """Forget a session: its templates may be pruned, once no batch uses them."""
    with _lock:
        _sessions.pop(session, None)
    return b""


def prepare_guests(order: SessionOrder, store: Store) -> Guests:
    """Choose the accelerator and boot a template for each kind of guest."""
    templates = Templates(store)
    choice: Choice | None = None
    factories: list[GuestFactory] = []
    records: list[GuestRecord] = []
    for wanted in order.guests:
        kernel = unpack(KernelArtifact, wanted.kernel, store.root)
        image = unpack(ImageArtifact, wanted.image, store.root)
        if choice is None:
            choice = choose_or_emulate(cast(Requested, order.accel), store, kernel, image)
        request = wanted.guest_request()
        machine = replace(wanted.guest_machine(), accel=choice.accel)
        try:
            template = templates.get(
                machine,
                kernel,
                image,
                request.provision,
                boot_seconds=choice.boot_seconds * order.timeout_factor,
                tolerate=frozenset(order.allowed),
            )
        except GuestError as error:
            recipe = TemplateRecipe(machine, kernel, image, request.provision)
            failed = NeverReady.of(request, guest_record(request, recipe), error)
            return Guests(choice, factories, [*records, failed.record], failed)
        factories.append(template)
        records.append(guest_record(request, template.recipe, template))
    if choice is None:
        raise HostError("the run needs no guests")
    return Guests(choice, factories, records)


@contextmanager
def scratch(store: Store) -> Iterator[Path]:
    """A directory for guests' logs, locked while it is used: see :func:`sweep`."""
    path = store.scratch("cluster", "trials") / uuid.uuid4().hex
    path.mkdir()
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield path
    finally:
        os.close(descriptor)
        shutil.rmtree(path, ignore_errors=True)


def sweep(store: Store) -> None:
    """Remove what workers that were killed have left."""
    for path in store.scratch("cluster", "trials").iterdir():
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


@functools.cache
def _store() -> Store:
    """One for the worker process: what it has handed out stays in the cache until that ends."""
    return Store()


@functools.cache
def _artifact(kind: str, digest: str) -> Path | None:
    """Where an artifact is, once its files have been compared with their digests."""
    found = _store().recall(kind, digest)
    return None if found is None else found.path


def _open(order: SessionOrder, guests: Guests, store: Store) -> _Session:
    requests = [wanted.guest_request() for wanted in order.guests]
    measuring = measuring_of(order, Accelerator(guests.choice.accel))
    return _Session(requests, guests, measuring, order.slots, store)


def _probe(session: _Session) -> dict[str, str]:
    """The digests of a short trial, which two attempts must agree in."""
    seen: list[dict[str, str]] = []
    request = session.requests[0]
    for number in range(_PROBES):
        with scratch(session.store) as folder:
            trial = Trial(f"probe-{number}", 0, 0, {}, request, _PROBE, ())
            outcome = session.attempts(folder).make(trial)
        if outcome.traces.result is None:
            raise HostError(f"a short trial failed: {outcome.attempt.message}")
        found = digests(outcome.traces)
        if found in seen:
            return found
        seen.append(found)
    raise HostError(
        f"{_PROBES} times the same trial gave {_PROBES} different digests",
        hint="It is too busy, or its emulator does not repeat.",
    )


def _outcomes(
    session: _Session, order: BatchOrder, attempts: Attempts
) -> Iterator[tuple[int, TrialOutcome | str]]:
    for wanted in order.trials:
        try:
            made = attempts.make(wanted.trial(session.requests[wanted.guest]))
        except Interrupted:
            return
        except (DriverError, OSError) as error:
            _log.warning("trial %s: %s", wanted.id, error)
            yield wanted.token, _sentence(error)
            return
        yield wanted.token, made


@contextmanager
def _halted_when_unwanted(halt: Callable[[], None]) -> Iterator[None]:
    """Call ``halt`` as soon as Dask has cancelled the task that is running, or its worker ends.

    Dask cannot stop a thread; it only forgets what the thread is doing.
    """
    from distributed import get_worker  # noqa: PLC0415

    worker = get_worker()
    key = worker.get_current_task()
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(_LOOK_EVERY):
            if not _wanted(worker, key):
                _log.info("%s is no longer wanted", key)
                halt()
                return

    thread = threading.Thread(target=watch, name="unwanted", daemon=True)
    thread.start()
    try:
        yield
    finally:
        finished.set()
        thread.join()


def _wanted(worker: Worker, key: Any) -> bool:
    task = worker.state.tasks.get(key)
    alive = worker.status.name in ("running", "paused")
    return alive and task is not None and task.state in ("executing", "long-running")


def _sentence(error: Exception) -> str:
    hint = getattr(error, "hint", None)
    return f"{error} ({hint})" if hint else reason(error, file=True)
