# SPDX-License-Identifier: Apache-2.0
"""Giving trials to hosts and taking outcomes back, with hosts that are threads of this process."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_guest import Guest
from helpers.synthetic_runs import FakeGuestRun

from driver import __version__
from driver.cluster import host as tasks
from driver.cluster import software
from driver.cluster.dask_client import Gone, WorkerInfo
from driver.cluster.executor import cluster_executor
from driver.cluster.fleet import Demand, Fleet
from driver.cluster.leases import Superseded, read_journal
from driver.cluster.messages import (
    BatchOrder,
    GuestOrder,
    Inspection,
    Outcomes,
    Prepared,
    SessionOrder,
    Software,
)
from driver.cluster.summary import summarise
from driver.deadline import Deadline
from driver.errors import GuestSplat, HostError
from driver.experiment.conclusion import Conclusion
from driver.experiment.lifecycle import carry_out
from driver.experiment.outcome import Traces, TrialOutcome, failure, success
from driver.progress import SilentReporter
from driver.results import provenance
from driver.results.directory import RunDirectory
from driver.results.record import read_record

ONLY = {"processes": ["1", "4"], "gib": ["1"]}
Work = Callable[[int, str], TrialOutcome | str | None]


@dataclass
class FakeHost:
    """``work`` makes an outcome of a trial, a problem, or None for a host that dies."""

    name: str
    work: Work
    slots: int = 1
    qemu: str = "a build"
    alive: bool = True
    frozen: threading.Event = field(default_factory=threading.Event)
    thawed: threading.Event = field(default_factory=threading.Event)


class FakeDask:
    """As much of :class:`DaskClient` as a fleet and an executor use."""

    address = "tcp://fake"

    def __init__(self, plan: FakeGuestRun, *hosts: FakeHost) -> None:
        self.hosts = {f"tcp://{host.name}": host for host in hosts}
        self.records = [prepared.record for prepared in plan.work.guests.values()]
        self.scheduler_alive = True
        self.cancelled = 0
        self._seen = 0.0

    def workers(self) -> list[WorkerInfo]:
        if not self.scheduler_alive:
            raise HostError("the scheduler at tcp://fake is gone")
        self._seen += 1
        return [
            WorkerInfo(host.name, address, host.slots, 0 if host.frozen.is_set() else self._seen)
            for address, host in self.hosts.items()
            if host.alive
        ]

    def submit(self, address: str, function: Any, *args: Any, **_more: Any) -> Any:
        future = FakeFuture()
        call = partial(self._run, self.hosts[address], function, args, future)
        threading.Thread(target=call, daemon=True).start()
        return future

    def call(self, address: str, function: Any, *args: Any, **_more: Any) -> bytes:
        return self.answer(self.submit(address, function, *args), address)

    def answer(self, future: Any, _address: str, seconds: float = 60) -> bytes:
        found = future.result(seconds)
        if found is None:
            raise Gone("it has left the cluster")
        assert isinstance(found, bytes)
        return found

    def cancel(self, futures: list[Any]) -> None:
        self.cancelled += len(futures)

    def _run(self, host: FakeHost, function: Any, args: Any, future: Future[Any]) -> None:
        future.set_result(self._do(host, function, args))

    def _do(self, host: FakeHost, function: Any, args: Any) -> bytes | None:
        if function is tasks.inspect:
            return Inspection(software=software_of(host)).text().encode()
        if function is tasks.prepare:
            SessionOrder.read(args[0], "the test")
            return Prepared(accel="tcg", guests=self.records).text().encode()
        if function is tasks.close:
            return b""
        made = []
        for trial in BatchOrder.read(args[0], "the test").trials:
            outcome = host.work(trial.token, trial.id)
            if outcome is None:
                host.alive = False
                return None
            made.append((trial.token, outcome))
        return Outcomes.of(made).text().encode()


class FakeFuture(Future[Any]):
    """A future as Dask has them."""

    key = property(id)

    def release(self) -> None:
        pass


def software_of(host: FakeHost) -> Software:
    return Software(
        driver=__version__,
        driver_files=software.driver_files(),
        qemu="QEMU 7.2",
        qemu_files=host.qemu,
        host=provenance.host(),
    )


@pytest.fixture
def plan(tmp_path: Path) -> FakeGuestRun:
    return FakeGuestRun(tmp_path / "results", only=ONLY)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("driver.cluster.executor._POLL", 0.02)
    monkeypatch.setattr("driver.cluster.fleet.SILENCE", 0.2)


def well(plan: FakeGuestRun) -> Work:
    """A host whose guests do what they should."""
    trials = {trial.id: trial for trial in plan.plan}

    def work(_token: int, name: str) -> TrialOutcome:
        trial = trials[name]
        traces = Traces(console=f"{name}\n")
        guest = Guest(trial.guest.kernel.series != "none", lambda _job: None)
        traces.result = guest.run(trial.job, Deadline.after(60, "a trial"))
        return success(traces, 0.01)

    return work


@dataclass
class Bench:
    plan: FakeGuestRun
    run: RunDirectory
    dask: FakeDask
    said: list[str] = field(default_factory=list)

    def carry_out(self) -> Conclusion:
        said = self.said

        class Noting(SilentReporter):
            def note(self, text: str) -> None:
                said.append(text)

        keep = {k: list(v) for k, v in self.plan.definition.experiment.sources.keep.items()}
        requests = list(self.plan.work.guests)
        orders = [GuestOrder.of(each, each.machine.machine("tcg"), {}, {}) for each in requests]
        demand = Demand("tcg", orders, [], keep, digest_nvdimm=False, crowded=False)
        fleet = Fleet(self.dask, demand, Noting())  # type: ignore[arg-type]
        fleet.first()
        try:
            with self.run.lock():
                opened = partial(cluster_executor, fleet)
                return carry_out(self.run, self.plan.manifest, self.plan.work, Noting(), opened)
        finally:
            fleet.close()


def bench(plan: FakeGuestRun, *hosts: FakeHost) -> Bench:
    return Bench(plan, plan.begin(), FakeDask(plan, *hosts))


def assert_each_once(found: Bench, conclusion: Conclusion) -> None:
    assert list(conclusion.run.trials["trial"]) == [trial.id for trial in found.plan.plan]
    assert set(conclusion.run.trials["verdict"]) == {"ok"}
    taken = Counter(line.token for line in read_journal(found.run) if line.event == "taken")
    assert set(taken.values()) == {1}


def test_hosts_share_the_trials(plan: FakeGuestRun) -> None:
    found = bench(plan, FakeHost("a", well(plan)), FakeHost("b", well(plan), slots=2))
    conclusion = found.carry_out()
    assert conclusion.complaint() is None
    assert_each_once(found, conclusion)
    hosts = {each.name: each for each in summarise(read_journal(found.run))}
    assert sum(each.taken for each in hosts.values()) == 12
    assert set(conclusion.run.trials["attempts"]) == {1}


def test_a_host_that_dies_loses_its_leases(plan: FakeGuestRun) -> None:
    def dying(token: int, name: str) -> TrialOutcome | str | None:
        return None if token > 3 else well(plan)(token, name)

    found = bench(plan, FakeHost("a", dying), FakeHost("b", well(plan)))
    conclusion = found.carry_out()
    assert conclusion.complaint() is None
    assert_each_once(found, conclusion)
    assert sum(conclusion.run.trials["host_faults"]) >= 1
    assert any("host a failed" in text for text in found.said)


def test_a_host_that_fails_twice_is_set_aside_by_name(plan: FakeGuestRun) -> None:
    found = bench(plan, FakeHost("a", lambda *_: "the disk is full"), FakeHost("b", well(plan)))
    conclusion = found.carry_out()
    assert_each_once(found, conclusion)
    (reason,) = [text for text in found.said if "set aside" in text]
    assert reason.startswith("host a is set aside: 2 failures in a row; the last: the disk is full")
    assert summarise(read_journal(found.run))[0].refused


def test_a_trial_that_fails_everywhere_is_not_its_hosts_fault(plan: FakeGuestRun) -> None:
    poison = plan.plan[0].id

    def work(token: int, name: str) -> TrialOutcome | str | None:
        return "its guest ate the host" if name == poison else well(plan)(token, name)

    found = bench(plan, FakeHost("a", work), FakeHost("b", work), FakeHost("c", work))
    conclusion = found.carry_out()
    record = read_record(found.run, poison)
    assert record is not None
    assert record.last.verdict == "lost"
    assert record.host_faults == len(record.attempts)
    assert len(record.attempts) == 5 * plan.definition.experiment.retry.attempts
    assert len([one for one in conclusion.records if one.ok]) == 11


def test_nobody_is_left(plan: FakeGuestRun) -> None:
    found = bench(plan, FakeHost("a", lambda *_: "no QEMU"))
    with pytest.raises(HostError, match="no host of the cluster can run trials") as raised:
        found.carry_out()
    assert "a: 2 failures in a row; the last: no QEMU" in (raised.value.excerpt or "")
    assert not list(found.run.trials.iterdir())


def test_a_scheduler_that_is_gone_ends_the_run(plan: FakeGuestRun) -> None:
    found = bench(plan, FakeHost("a", well(plan)))
    slow = found.dask.hosts["tcp://a"]

    def work(token: int, name: str) -> TrialOutcome | str | None:
        found.dask.scheduler_alive = False
        time.sleep(0.5)
        return well(plan)(token, name)

    slow.work = work
    with pytest.raises(HostError, match="the scheduler at"):
        found.carry_out()
    assert found.dask.cancelled >= 1


def late_splat(plan: FakeGuestRun, made: TrialOutcome) -> Bench:
    """Host a falls silent in its first trial, and answers when another has done it."""
    slow = FakeHost("a", well(plan))
    found = bench(plan, slow, FakeHost("b", well(plan)))

    def work(_token: int, name: str) -> TrialOutcome:
        slow.frozen.set()
        done = found.run.trials / f"{name}.json"
        end = time.monotonic() + 30
        while not done.exists() and time.monotonic() < end:
            time.sleep(0.01)
        slow.work = well(plan)
        return made

    slow.work = work

    def careful(token: int, name: str) -> TrialOutcome | str | None:
        time.sleep(0.15)
        return well(plan)(token, name)

    found.dask.hosts["tcp://b"].work = careful
    return found


def test_a_late_outcome_does_not_count(plan: FakeGuestRun) -> None:
    other = success(Traces(console="too late\n"), 9.0)
    lie = well(plan)(0, plan.plan[-1].id)
    assert isinstance(lie, TrialOutcome)
    found = late_splat(
        plan, TrialOutcome(other.attempt, Traces("", "too late\n", lie.traces.result))
    )
    conclusion = found.carry_out()
    assert_each_once(found, conclusion)
    late = [line for line in read_journal(found.run) if isinstance(line, Superseded)]
    assert [line.host for line in late] == ["a"]
    (console,) = found.run.superseded.glob("*.log")
    assert console.read_text() == "too late\n"
    assert late[0].trial in console.name
    assert "too late" not in (found.run.console(late[0].trial)).read_text()


def test_a_late_splat_is_never_lost(plan: FakeGuestRun) -> None:
    error = GuestSplat("the guest's kernel reported bug: x", kind="bug", excerpt="Call Trace:")
    found = late_splat(plan, failure(error, Traces(console="BUG: late\n"), 9.0))
    conclusion = found.carry_out()
    (late,) = [line for line in read_journal(found.run) if isinstance(line, Superseded)]
    record = read_record(found.run, late.trial)
    assert record is not None
    assert record.ok, "the outcome that counts is another"
    assert [attempt.verdict for attempt in record.attempts] == ["lost", "splat", "ok"]
    assert found.run.console(late.trial, 2).read_text() == "BUG: late\n"
    complaint = conclusion.complaint()
    assert complaint is not None
    assert complaint.exit_status == GuestSplat.exit_status


def test_another_build_of_qemu_is_refused(plan: FakeGuestRun) -> None:
    first = FakeHost("a", well(plan))
    found = bench(plan, first)
    original = well(plan)

    def work(token: int, name: str) -> TrialOutcome | str | None:
        found.dask.hosts.setdefault("tcp://b", FakeHost("b", well(plan), qemu="another"))
        time.sleep(0.05)
        return original(token, name)

    first.work = work
    conclusion = found.carry_out()
    assert_each_once(found, conclusion)
    assert any("host b is refused: its QEMU 7.2 is another build" in text for text in found.said)
