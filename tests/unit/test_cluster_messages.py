# SPDX-License-Identifier: Apache-2.0
"""What hosts may say: data of a known shape, and nothing that is executed."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest
from helpers.fake_guest import Guest
from helpers.synthetic_runs import FakeGuestRun

from driver.cluster.messages import GuestOrder, Outcome, Outcomes, TrialOrder
from driver.deadline import Deadline
from driver.errors import GuestSplat, HostError
from driver.experiment.attempt import Measuring
from driver.experiment.outcome import Traces, TrialOutcome, failure, success
from driver.results.record import canonical
from driver.results.tidy import numbers
from driver.validity import Accelerator, Validity


@pytest.fixture
def plan(tmp_path: Path) -> FakeGuestRun:
    return FakeGuestRun(tmp_path, only={"processes": ["4"], "gib": ["1"]})


def measuring(plan: FakeGuestRun) -> Measuring:
    keep = plan.definition.experiment.sources.keep
    return Measuring({name: list(found) for name, found in keep.items()}, plan.validity)


def outcome_of(plan: FakeGuestRun) -> TrialOutcome:
    guest = Guest(True, lambda _job: None)
    traces = Traces("console \udcff\n")
    traces.result = guest.run(plan.plan[0].job, Deadline.after(60, "a trial"))
    found = measuring(plan)
    traces.numbers = numbers(traces.result, found.keep, found.validity)
    return success(traces, 0.5)


def test_a_trial_survives_the_way_there_and_back(plan: FakeGuestRun) -> None:
    for trial in plan.plan:
        order = TrialOrder.read(TrialOrder.of(7, trial, 0).text(), "driver")
        there = order.trial(trial.guest)
        assert there.job == trial.job
        assert (there.id, there.guest, there.phases) == (trial.id, trial.guest, trial.phases)
        asked = GuestOrder.of(trial.guest, trial.guest.machine.machine("tcg"), {}, {})
        arrived = GuestOrder.read(asked.text(), "driver")
        assert arrived.guest_request() == trial.guest
        assert hash(arrived.guest_request()) == hash(trial.guest)
        assert arrived.guest_machine() == trial.guest.machine.machine("tcg")


def test_an_outcome_arrives_to_the_byte(plan: FakeGuestRun) -> None:
    outcome = outcome_of(plan)
    sent = Outcomes(outcomes=[Outcome.of(7, outcome)]).text().encode()
    (arrived,) = Outcomes.read(sent, "host a").outcomes
    found = arrived.outcome(measuring(plan), "host a")
    assert arrived.token == 7
    assert found.attempt == outcome.attempt
    assert found.traces.console == outcome.traces.console
    assert found.traces.result is not None
    assert outcome.traces.result is not None
    assert canonical(found.traces.result) == canonical(outcome.traces.result)
    assert found.traces.numbers == outcome.traces.numbers


def test_a_failure_arrives_as_one(plan: FakeGuestRun) -> None:
    error = GuestSplat("kernel reported bug: x", kind="bug", excerpt="Call Trace:")
    outcome = failure(error, Traces("BUG: x\n"), 1.0)
    found = Outcome.read(Outcome.of(1, outcome).text(), "a").outcome(measuring(plan), "a")
    assert found.attempt == outcome.attempt
    assert found.attempt.verdict == "splat"
    assert found.traces.result is None


class Evil:
    """Pickled, it would make a file where it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.path,))


def test_a_pickle_is_no_message(plan: FakeGuestRun, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    for content in (pickle.dumps(Evil(trap)), b"", b"[]", b'{"outcomes": 3}', b"\xff"):
        with pytest.raises(HostError, match="host a sent no valid Outcomes"):
            Outcomes.read(content, "host a")
    outcome = json.loads(Outcome.of(1, outcome_of(plan)).text())
    outcome["result"] = base64.b64encode(pickle.dumps(Evil(trap))).decode()
    with pytest.raises(HostError, match="cannot be unpacked"):
        Outcome.model_validate(outcome).outcome(measuring(plan), "host a")
    outcome["result"] = base64.b64encode(zlib.compress(pickle.dumps(Evil(trap)))).decode()
    with pytest.raises(HostError, match="a result that cannot be read"):
        Outcome.model_validate(outcome).outcome(measuring(plan), "host a")
    assert not trap.exists()


def test_what_does_not_hold_together_is_refused(plan: FakeGuestRun) -> None:
    whole = json.loads(Outcome.of(1, outcome_of(plan)).text())
    for change, said in (
        ({"result": None}, "a good trial without a result"),
        ({"attempt": None}, "an outcome without an attempt"),
        ({"console": base64.b64encode(zlib.compress(bytes(1 << 29))).decode()}, "more than"),
    ):
        with pytest.raises(HostError, match=said):
            Outcome.model_validate({**whole, **change}).outcome(measuring(plan), "host a")
    with pytest.raises(HostError, match="evil"):
        Outcome.read(json.dumps({**whole, "evil": 1}), "host a")


def test_numbers_are_parsed_here(plan: FakeGuestRun) -> None:
    """A host cannot claim a time under emulation, nor a text that its source does not give."""
    outcome = outcome_of(plan)
    assert outcome.traces.result is not None
    sample = outcome.traces.result.samples[0]
    broken = type(sample)(**{**vars(sample), "text": "PageTables: x kB\n"})
    outcome.traces.result.samples[0] = broken
    found = Outcome.of(1, outcome).outcome(measuring(plan), "host a")
    assert found.attempt.verdict == "unreadable"
    exact = Measuring(measuring(plan).keep, Validity(Accelerator.TCG))
    assert exact.validity.accelerator is Accelerator.TCG
