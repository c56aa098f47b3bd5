# SPDX-License-Identifier: Apache-2.0
"""TAP and KTAP, whole and broken."""

from __future__ import annotations

import pytest

from driver.suite import tap


def verdicts(output: str) -> dict[str, str]:
    return {case.name: case.verdict for case in tap.parse(output).cases}


def test_tap_13() -> None:
    report = tap.parse(
        "TAP version 13\n1..5\nok 1 - maps\n# a diagnosis\nnot ok 2 - unmaps\n"
        "  ---\n  message: ok 9 in YAML is no result\n  ...\n"
        "ok 3 - # SKIP no hugetlb\nnot ok 4 - later # TODO not written\nok 5\n"
    )
    assert not report.problems
    assert [(case.name, case.verdict, case.note) for case in report.cases] == [
        ("maps", "ok", ""),
        ("unmaps", "not ok", ""),
        ("case 3", "skip", "no hugetlb"),
        ("later", "todo", "not written"),
        ("case 5", "ok", ""),
    ]


def test_subtests_of_tap_14() -> None:
    output = (
        "TAP version 14\n1..2\n# Subtest: group\n    1..2\n    ok 1 - one\n"
        "    not ok 2 - two\nnot ok 1 - group\nok 2 - alone\n"
    )
    assert not tap.parse(output).problems
    assert verdicts(output) == {
        "group > one": "ok",
        "group > two": "not ok",
        "group": "not ok",
        "alone": "ok",
    }


def test_ktap_of_the_kernel_log() -> None:
    """Nested twice, with the time of the kernel's log in front of each line."""
    output = (
        "[    1.000000] KTAP version 1\n[    1.000001] 1..1\n[    1.000002]   KTAP version 1\n"
        "[    1.000003]   # Subtest: list\n[    1.000004]   1..1\n"
        "[    1.000005]     KTAP version 1\n[    1.000006]     1..2\n"
        "[    1.000007]     ok 1 empty\n[    1.000008]     ok 2 full # SKIP too big\n"
        "[    1.000009]   ok 1 init\n[    1.000010] ok 1 list\n"
    )
    assert not tap.parse(output).problems
    assert verdicts(output) == {
        "list > init > empty": "ok",
        "list > init > full": "skip",
        "list > init": "ok",
        "list": "ok",
    }


def test_what_the_runner_of_kselftest_prints() -> None:
    output = (
        "TAP version 13\n1..2\n# timeout set to 45\n# selftests: mm: compaction\n"
        "# TAP version 13\n# 1..2\n# ok 1 one\n# not ok 2 two\n# # Totals: pass:1 fail:1\n"
        "not ok 1 selftests: mm: compaction # exit=1\nok 2 selftests: mm: gup # SKIP\n"
    )
    assert not tap.parse(output).problems
    assert verdicts(output) == {
        "selftests: mm: compaction > one": "ok",
        "selftests: mm: compaction > two": "not ok",
        "selftests: mm: compaction": "not ok",
        "selftests: mm: gup": "skip",
    }


def test_a_timeout_that_the_runner_reports() -> None:
    assert verdicts("1..1\nnot ok 1 selftests: mm: slow # TIMEOUT 45 seconds\n") == {
        "selftests: mm: slow": "not ok"
    }


def test_the_harness_of_kselftest() -> None:
    """Its progress begins with OK and FAIL; those are no results."""
    output = (
        "TAP version 13\n1..1\n# Starting 1 tests.\n#  RUN           global.a ...\n"
        "#            OK  global.a\nok 1 global.a\n# PASSED: 1 / 1 tests passed.\n"
    )
    assert not tap.parse(output).problems
    assert verdicts(output) == {"global.a": "ok"}


@pytest.mark.parametrize(
    ("output", "problem"),
    [
        ("1..3\nok 1 a\nok 2 b\n", "the plan says 3 cases, 2 were reported"),
        ("1..1\nok 1 a\nok 2 b\n", "the plan says 1 cases, 2 were reported"),
        ("1..2\nok 1 a\nok 3 b\n", "b: has the number 3, is result 2"),
        ("1..1\n1..1\nok 1 a\n", "a second plan: 1..1"),
        ("1..2\nok 1 a\nBail out! no memory\n", "it bailed out: no memory"),
        ("Segmentation fault\n", "no line of TAP"),
        ("", "no line of TAP"),
    ],
)
def test_what_is_wrong_is_said(output: str, problem: str) -> None:
    assert problem in tap.parse(output).problems


def test_output_that_stops_in_the_middle_of_a_group() -> None:
    """The results that are there count; the group has none."""
    output = (
        "KTAP version 1\n1..2\nok 1 first\n"
        "  KTAP version 1\n  # Subtest: second\n  1..3\n  ok 1 a\n"
    )
    report = tap.parse(output)
    assert verdicts(output) == {"first": "ok", "second > a": "ok", "second": "incomplete"}
    assert report.problems == ("second: the plan says 3 cases, 1 were reported",)


def test_a_line_cut_in_the_middle() -> None:
    """No verdict is made of `not o`."""
    output = "1..2\nok 1 a\nnot o"
    assert verdicts(output) == {"a": "ok"}
    assert tap.parse(output).problems == ("the plan says 2 cases, 1 were reported",)


def test_everything_skipped() -> None:
    (case,) = tap.parse("TAP version 13\n1..0 # SKIP needs root\n").cases
    assert (case.verdict, case.note) == ("skip", "needs root")


def test_prose_is_no_result() -> None:
    assert not verdicts("Ok, that went well\nok then\nNot OK with me\nokay 3\n")


def test_equal_names_become_different() -> None:
    assert list(verdicts("1..3\nok 1 x\nnot ok 2 x\nok 3 x (2)\n").items()) == [
        ("x", "ok"),
        ("x (2)", "not ok"),
        ("x (2) (2)", "ok"),
    ]


def test_odd_bytes_and_escapes() -> None:
    assert verdicts("1..2\nok 1 a \\# b # SKIP why\nok 2 \ufffd\x1b[0m\n") == {
        "a # b": "skip",
        "\ufffd\x1b[0m": "ok",
    }
