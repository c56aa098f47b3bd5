# SPDX-License-Identifier: Apache-2.0
"""Leases: which outcome of a trial counts, however often it is tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.cluster.leases import Failed, Leased, Leases, read_journal
from driver.errors import UserError
from driver.results.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory(tmp_path)


def test_only_the_newest_lease_of_a_trial_counts(run: RunDirectory) -> None:
    leases = Leases.of(run)
    first, other = leases.grant(["t1", "t2"], "a")
    assert leases.is_current(first)
    leases.revoke(first)
    assert not leases.is_current(first)
    (second,) = leases.grant(["t1"], "b")
    assert second.token > other.token > first.token
    assert leases.is_current(second)
    assert leases.lease(first.token) == first, "its outcome may still arrive"
    leases.settle(first)
    assert leases.is_current(second), "a late outcome must not end the newer lease"
    leases.settle(second)
    assert leases.lease(second.token) is None
    assert leases.is_current(other)


def test_a_second_lease_makes_the_first_void(run: RunDirectory) -> None:
    leases = Leases.of(run)
    (first,) = leases.grant(["t1"], "a")
    (second,) = leases.grant(["t1"], "b")
    assert not leases.is_current(first)
    assert leases.is_current(second)


def test_a_driver_that_resumes_has_newer_tokens(run: RunDirectory) -> None:
    Leases.of(run).grant(["t1", "t2"], "a")
    (again,) = Leases.of(run).grant(["t1"], "b")
    assert again.token == 3
    assert [line.event for line in read_journal(run)] == ["leased", "leased"]


def test_half_a_line_of_a_killed_driver_is_cut_off(run: RunDirectory) -> None:
    leases = Leases.of(run)
    leases.grant(["t1"], "a")
    leases.note(Failed(host="a", tokens=[1], reason="it has left the cluster"))
    journal = run.path / "cluster.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"time":"2026-12-01T00:00:00Z","event":"lea')
    assert len(read_journal(run)) == 2
    assert Leases.of(run).grant(["t1"], "b")[0].token == 2
    lines = read_journal(run)
    assert isinstance(lines[-1], Leased)
    assert journal.read_bytes().startswith(whole)


def test_a_damaged_journal_is_one_message(run: RunDirectory) -> None:
    (run.path / "cluster.jsonl").write_text('{"event":"leased","tokens":3}\n')
    with pytest.raises(UserError, match=r"cluster\.jsonl:1 is damaged"):
        Leases.of(run)


def test_a_run_of_one_machine_has_no_journal(run: RunDirectory) -> None:
    assert read_journal(run) == []
