# SPDX-License-Identifier: Apache-2.0
"""What programs reported, and where two kernels differ."""

from __future__ import annotations

from collections.abc import Mapping

from driver.experiment.definition import Cases
from driver.guest.job import JobResult, Value
from driver.suite.case import Case, CaseVerdict, Report
from driver.suite.findings import WHOLE, ProgramReport, died, differences, finished

RULES = Cases(format="tap", formats={"s": "status"})


def ended(status: int, output: str = "") -> JobResult:
    values = [Value("end", "exit_status", "status", status)]
    return JobResult(status=0, values=values, output=output)


def report(
    kernel: str, cases: Mapping[str, CaseVerdict], turn: int = 0, program: str = "p"
) -> ProgramReport:
    found = tuple(Case(name, verdict) for name, verdict in cases.items())
    return ProgramReport(kernel, program, turn, Report(found), {})


def test_the_program_is_a_case_too() -> None:
    """Its own verdict may be worse than that of all its cases."""
    found = finished(RULES, "p", ended(139, "1..2\nok 1 at 0x7f00\nok 2 at 0x7e00\n"))
    assert [(case.name, case.verdict, case.note) for case in found.cases] == [
        (WHOLE, "not ok", "was killed by SIGSEGV"),
        ("at N", "ok", ""),
        ("at N (2)", "ok", ""),
    ]


def test_exit_statuses() -> None:
    def whole(status: int) -> tuple[str, str]:
        case = finished(RULES, "s", ended(status, "ok 1 is no TAP here")).cases[0]
        return case.verdict, case.note

    assert whole(0) == ("ok", "")
    assert whole(4) == ("skip", "exited with status 4")
    assert whole(1) == ("not ok", "exited with status 1")


def test_output_that_stops_is_incomplete_even_if_the_status_is_0() -> None:
    case = finished(RULES, "p", ended(0, "1..2\nok 1 a\n")).cases[0]
    assert (case.verdict, case.note) == ("incomplete", "the plan says 2 cases, 1 were reported")


def test_a_program_that_the_guest_did_not_survive() -> None:
    (case,) = died("splat", "BUG: Bad page state").cases
    assert (case.name, case.verdict) == (WHOLE, "not ok")
    assert case.note == "splat: BUG: Bad page state"


def test_differences() -> None:
    one = report("old", {WHOLE: "ok", "a": "ok", "b": "skip", "c": "not ok", "d": "ok"})
    two = report("new", {WHOLE: "ok", "a": "not ok", "b": "ok", "c": "not ok", "e": "ok"})
    found = {each.case: each for each in differences([one, two], "old", "new")}
    assert {name: (each.first, each.second, each.worse) for name, each in found.items()} == {
        "a": ("ok", "not ok", True),
        "b": ("skip", "ok", False),
        "d": ("ok", "absent", True),
        "e": ("absent", "ok", False),
    }


def test_a_case_that_comes_out_either_way_is_no_difference() -> None:
    reports = [
        report("old", {"a": "ok", "b": "ok", "c": "ok"}, 0),
        report("new", {"a": "not ok", "b": "not ok", "c": "not ok"}, 0),
        report("old", {"a": "ok", "b": "not ok", "c": "ok"}, 1),
        report("new", {"a": "ok", "b": "ok", "c": "incomplete"}, 1),
    ]
    (only,) = differences(reports, "old", "new")
    assert (only.case, only.first, only.second, only.worse) == ("c", "ok", "incomplete", True)


def test_a_round_that_only_one_kernel_has_run_says_nothing() -> None:
    assert not list(differences([report("old", {"a": "ok"})], "old", "new"))
    reports = [
        report("old", {"a": "ok"}, 0),
        report("new", {"a": "not ok"}, 0),
        report("old", {"a": "ok"}, 1),
    ]
    assert len(list(differences(reports, "old", "new"))) == 1
