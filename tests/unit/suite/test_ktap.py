# SPDX-License-Identifier: Apache-2.0
"""KTAP that is written can be read."""

from __future__ import annotations

from driver.suite import ktap, tap
from driver.suite.case import Case
from driver.suite.junit import Group


def test_what_is_written_can_be_read() -> None:
    cases = [
        Case("maps # \\ 1", "ok"),
        Case("unmaps\nall", "not ok", "why"),
        Case("later", "todo", "not written"),
        Case("huge", "skip", "no pages"),
        Case("cut", "incomplete"),
    ]
    report = tap.parse(ktap.document([Group("on.mm", cases), Group("on.fs", cases[:1])]))
    assert not report.problems
    assert [(case.name, case.verdict, case.note) for case in report.cases] == [
        ("on.mm > maps # \\ 1", "ok", ""),
        ("on.mm > unmaps all", "not ok", ""),
        ("on.mm > later", "todo", "not written"),
        ("on.mm > huge", "skip", "no pages"),
        ("on.mm > cut", "not ok", ""),
        ("on.mm", "not ok", ""),
        ("on.fs > maps # \\ 1", "ok", ""),
        ("on.fs", "ok", ""),
    ]
