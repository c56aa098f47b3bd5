# SPDX-License-Identifier: Apache-2.0
"""Attempts at trials made by the hosts of a fleet.

A thread of its own gives hosts batches of trials under leases, as many as they have places for
guests (:mod:`driver.cluster.batches`), and takes what comes back. A host that is lost or silent
loses its leases, and other hosts try its trials again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from queue import Empty, SimpleQueue

from driver.atomic_write import write_atomically
from driver.cluster import host as tasks
from driver.cluster.batches import (
    BATCH_SECONDS,
    Answer,
    Batch,
    Waiting,
    Wanted,
    answer_of,
    batch_size,
    is_host_fault,
    lost_attempt,
)
from driver.cluster.dask_client import DaskClient
from driver.cluster.fleet import PATIENCE, Fleet, Remote, State
from driver.cluster.leases import (
    Failed,
    HostAdmitted,
    HostRefused,
    Lease,
    Leases,
    Superseded,
    Taken,
)
from driver.cluster.messages import BatchOrder, Outcome, TrialOrder
from driver.experiment.attempt import Interrupted, Measuring
from driver.experiment.executor import Executor
from driver.experiment.outcome import Traces, TrialOutcome
from driver.experiment.plan import GuestRequest, Trial
from driver.experiment.work import Work
from driver.results.directory import RunDirectory
from driver.text import counted

_log = logging.getLogger(__name__)

# A trial that so many hosts could not finish, for reasons of theirs, has failed.
_MOST_FAILURES = 5
# Seconds between two looks at who is there.
_POLL = 1.0
# A batch may take so many times what its trials' own deadlines add up to: hosts scale these.
_SLOWEST = 20.0
_CLOSING = 15.0


class ClusterExecutor:
    """Gives trials to the hosts of a fleet. Open it with :func:`cluster_executor`."""

    def __init__(
        self,
        fleet: Fleet,
        run: RunDirectory,
        requests: Sequence[GuestRequest],
        measuring: Measuring,
    ) -> None:
        self._fleet = fleet
        self._client: DaskClient = fleet.client
        self._run = run
        self._places = {request: place for place, request in enumerate(requests)}
        self._measuring = measuring
        self._leases = Leases.of(run)
        self._events: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._waiting = Waiting()
        self._leased: dict[str, Wanted] = {}
        self._batches: dict[str, Batch] = {}
        self._fetchers = ThreadPoolExecutor(8, thread_name_prefix="outcomes")
        self._stop = threading.Event()
        self._failed: BaseException | None = None
        self._late: SimpleQueue[tuple[str, TrialOutcome]] = SimpleQueue()
        self._shunned: dict[str, set[str]] = {}
        self._finished = 0
        self._began = time.monotonic()
        self._polled = 0.0
        self._last_ready = time.monotonic()
        fleet.on_admitted = lambda host: self._post(lambda: self._note_admitted(host))
        fleet.on_refused = lambda host: self._post(lambda: self._note_refused(host))
        for host in fleet.hosts.values():
            if host.state is State.READY:
                self._note_admitted(host)
            elif host.state is State.REFUSED:
                self._note_refused(host)
        self._thread = threading.Thread(target=self._work, name="cluster", daemon=True)
        self._thread.start()

    @property
    def capacity(self) -> int:
        """Three times what all hosts are busy with, so that there are whole batches to choose."""
        ready = self._fleet.ready()
        return 8 + 3 * sum(host.slots * batch_size(host) for host in ready)

    def submit(self, trial: Trial) -> Future[TrialOutcome]:
        future: Future[TrialOutcome] = Future()
        wanted = Wanted(trial, future, avoid=self._shunned.get(trial.id) or set())
        self._post(lambda: self._add(wanted))
        return future

    def late_faults(self) -> list[tuple[str, TrialOutcome]]:
        found = []
        with suppress(Empty):
            while True:
                found.append(self._late.get_nowait())
        return found

    def status(self) -> str:
        """Hosts, trials that run there, and how many are finished in a second."""
        hosts = self._fleet.ready()
        running = sum(host.busy for host in hosts)
        rate = self._finished / max(0.1, time.monotonic() - self._began)
        return f"{counted(len(hosts), 'host')}, {counted(running, 'guest')}, {rate:.1f} trials/s"

    def close(self) -> None:
        """Let no task of ours run on any host, nor any guest of theirs."""
        self._stop.set()
        self._post(lambda: None)
        self._thread.join(_CLOSING)
        batches = list(self._batches.values())
        self._client.cancel([batch.task for batch in batches])
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    def _post(self, event: Callable[[], None]) -> None:
        self._events.put(event)

    def _work(self) -> None:
        """Handle events, one after the other, until stopped; a failure is everybody's who waits."""
        try:
            while not self._stop.is_set():
                with suppress(Empty):
                    self._events.get(timeout=_POLL / 4)()
                    while True:
                        self._events.get_nowait()()
                self._look()
                self._place()
        except BaseException as error:
            _log.info("the cluster fails: %s", error)
            self._failed = error
        finally:
            self._give_up(self._failed or Interrupted())

    def _give_up(self, error: BaseException) -> None:
        for wanted in (*self._waiting.take_all(), *self._leased.values()):
            if not wanted.future.done():
                wanted.future.set_exception(error)
        self._leased.clear()
        # What was submitted meanwhile is in the queue: nobody else will answer it.
        with suppress(Empty):
            while True:
                self._events.get_nowait()()
                for wanted in self._waiting.take_all():
                    wanted.future.set_exception(error)

    def _add(self, wanted: Wanted) -> None:
        if self._failed is not None:
            wanted.future.set_exception(self._failed)
        else:
            self._waiting.add(wanted)

    def _look(self) -> None:
        """See who is there now, and take leases from those who are not."""
        now = time.monotonic()
        if now - self._polled < _POLL:
            return
        self._polled = now
        self._fleet.poll()
        for key, batch in list(self._batches.items()):
            if batch.host.state is State.GONE:
                self._void(batch, batch.host.reason)
                self._drop(key)
            elif batch.host.state is State.SILENT:
                self._void(batch, batch.host.reason)
            elif now > batch.until and not batch.void:
                self._void(batch, "it has not finished a batch long after its deadline")
                self._fleet.set_aside(batch.host, "it does not finish its trials")
        if self._fleet.ready():
            self._last_ready = now
        elif self._waiting and (
            now - self._last_ready > PATIENCE or (self._fleet.hosts and not self._fleet.waiting)
        ):
            raise self._fleet.nobody()

    def _place(self) -> None:
        """Give every free place for a guest a batch."""
        for host in sorted(self._fleet.ready(), key=lambda host: -host.free):
            while host.free > 0 and self._waiting:
                chosen = self._waiting.choose(host, self._fleet.ready())
                if not chosen:
                    break
                self._give(host, chosen)

    def _give(self, host: Remote, chosen: Sequence[Wanted]) -> None:
        leases = self._leases.grant([wanted.trial.id for wanted in chosen], host.name)
        order = BatchOrder(
            session=self._fleet.session,
            trials=[
                TrialOrder.of(lease.token, wanted.trial, self._places[wanted.trial.guest])
                for lease, wanted in zip(leases, chosen, strict=True)
            ],
        )
        for wanted in chosen:
            self._leased[wanted.trial.id] = wanted
        task = self._client.submit(host.address, tasks.run_batch, order.text().encode(), guests=1)
        seconds = sum(wanted.trial.job.timeout for wanted in chosen) * _SLOWEST
        batch = Batch(host, leases, task, time.monotonic() + seconds + BATCH_SECONDS)
        key = str(task.key)
        self._batches[key] = batch
        host.busy += 1
        task.add_done_callback(lambda _task: self._fetch(key, batch))

    def _fetch(self, key: str, batch: Batch) -> None:
        """Called by Dask when a batch is over, whichever way."""
        with suppress(RuntimeError):  # the executor is being closed
            self._fetchers.submit(self._answer, key, batch)

    def _answer(self, key: str, batch: Batch) -> None:
        answer = answer_of(batch, key, self._client, self._measuring)
        self._post(lambda: self._take(answer))

    def _take(self, answer: Answer) -> None:
        batch = self._batches.pop(answer.key, None)
        if batch is None:
            return
        batch.host.busy -= 1
        problem, failed = answer.problem, []
        for outcome, read in answer.outcomes:
            lease = self._leases.lease(outcome.token)
            if lease is None:
                continue
            if read is None:
                problem = outcome.problem
            elif self._leases.is_current(lease):
                self._deliver(batch.host, lease, read)
            else:
                self._supersede(batch.host, lease, outcome, read)
        failed = [lease for lease in batch.leases if self._leases.is_current(lease)]
        if failed:
            reason = problem or "it stopped before its batch was done"
            self._fail(batch.host, failed, reason, strike=not answer.cancelled)
        for lease in batch.leases:
            self._leases.settle(lease)

    def _deliver(self, host: Remote, lease: Lease, outcome: TrialOutcome) -> None:
        """Take an outcome into the run."""
        wanted = self._leased.pop(lease.trial)
        attempt = outcome.attempt
        self._leases.settle(lease)
        self._leases.note(
            Taken(
                token=lease.token,
                host=host.name,
                verdict=attempt.verdict,
                seconds=attempt.host_seconds,
            )
        )
        if is_host_fault(attempt):
            if not wanted.avoid - {host.name}:
                self._fleet.strike(host, attempt.message)
            # If the plan asks for another try, another host is to make it.
            wanted.avoid.add(host.name)
            self._shunned[lease.trial] = wanted.avoid
        else:
            self._fleet.success(host)
        share = 0.2 if host.seconds else 1.0
        host.seconds += share * (attempt.host_seconds - host.seconds)
        self._finished += 1
        wanted.future.set_result(replace(outcome, earlier=tuple(wanted.failures)))

    def _supersede(self, host: Remote, lease: Lease, outcome: Outcome, read: TrialOutcome) -> None:
        """Keep an outcome that came too late, apart from those that count."""
        folder = self._run.superseded
        folder.mkdir(exist_ok=True)
        name = f"{lease.trial}.{lease.token}"
        console = read.traces.console.encode("utf-8", "surrogateescape")
        write_atomically(folder / f"{name}.log", console)
        write_atomically(folder / f"{name}.json", read.attempt.model_dump_json(indent=1) + "\n")
        if read.attempt.faults:
            self._late.put((lease.trial, read))
        self._leases.note(
            Superseded(
                token=outcome.token,
                host=host.name,
                trial=lease.trial,
                verdict=read.attempt.verdict,
            )
        )

    def _void(self, batch: Batch, reason: str) -> None:
        """Take the leases of a batch from its host; what still arrives under them is superseded."""
        if batch.void:
            return
        batch.void = True
        failed = [lease for lease in batch.leases if self._leases.is_current(lease)]
        if failed:
            self._fail(batch.host, failed, reason, strike=True)

    def _fail(self, host: Remote, leases: Sequence[Lease], reason: str, *, strike: bool) -> None:
        """The infrastructure failed: others are to try these trials."""
        self._leases.note(
            Failed(host=host.name, tokens=[lease.token for lease in leases], reason=reason)
        )
        elsewhere = False
        for lease in reversed(leases):
            self._leases.revoke(lease)
            wanted = self._leased.pop(lease.trial)
            elsewhere = elsewhere or bool(wanted.avoid - {host.name})
            wanted.avoid.add(host.name)
            wanted.failures.append(lost_attempt(f"host {host.name}: {reason}"))
            if len(wanted.failures) < _MOST_FAILURES:
                self._waiting.add(wanted, first=True)
            else:
                *earlier, last = wanted.failures
                wanted.future.set_result(TrialOutcome(last, Traces(), tuple(earlier)))
        # A trial that fails wherever it is tried is not the host's fault.
        if strike and not elsewhere:
            self._fleet.strike(host, reason)

    def _drop(self, key: str) -> None:
        batch = self._batches.pop(key)
        for lease in batch.leases:
            self._leases.settle(lease)
        with suppress(Exception):
            batch.task.release()

    def _note_admitted(self, host: Remote) -> None:
        if host.software is not None:
            self._leases.note(
                HostAdmitted(
                    host=host.name,
                    slots=host.slots,
                    accelerator=self._measuring.validity.accelerator.value,
                    software=host.software,
                )
            )

    def _note_refused(self, host: Remote) -> None:
        self._leases.note(HostRefused(host=host.name, reason=host.reason))


@contextmanager
def cluster_executor(
    fleet: Fleet, run: RunDirectory, work: Work, measuring: Measuring
) -> Iterator[Executor]:
    """The executor of a run on a fleet; leaving it ends every guest on every host."""
    executor = ClusterExecutor(fleet, run, list(work.guests), measuring)
    try:
        yield executor
    finally:
        executor.close()
