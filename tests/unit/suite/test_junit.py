# SPDX-License-Identifier: Apache-2.0
"""JUnit's XML, as programs print it and as CI systems read it."""

from __future__ import annotations

import pytest

from driver.suite import junit
from driver.suite.case import Case

# As fstests writes it: a document with properties, notes and long outputs.
XUNIT = """\
FSTYP         -- xfs (non-debug)
<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="xfstests" failures="1" skipped="1" tests="3" time="12">
 <properties><property name="SECTION" value="dax"/></properties>
 <testcase classname="xfstests.global" name="generic/001" time="4"></testcase>
 <testcase classname="xfstests.global" name="generic/002" time="4">
  <failure message="output mismatch (see 002.out.bad)" type="TestFail" />
  <system-out><![CDATA[--- a
+++ b]]></system-out>
 </testcase>
 <testcase classname="xfstests.global" name="generic/003" time="0">
  <skipped message="this test requires a scratch device" />
 </testcase>
</testsuite>
Ran: generic/001
"""


def test_what_fstests_writes() -> None:
    report = junit.parse(XUNIT)
    assert not report.problems
    assert report.cases == (
        Case("xfstests.global > generic/001", "ok"),
        Case("xfstests.global > generic/002", "not ok", "output mismatch (see 002.out.bad)"),
        Case("xfstests.global > generic/003", "skip", "this test requires a scratch device"),
    )


@pytest.mark.parametrize("length", range(200, len(XUNIT) - 40, 37))
def test_a_document_that_is_cut(length: int) -> None:
    """The cases that are whole count, none counts twice, and the cut is a problem."""
    report = junit.parse(XUNIT[:length])
    whole = junit.parse(XUNIT).cases
    assert report.cases == whole[: len(report.cases)]
    assert len(report.cases) == XUNIT[:length].count("</testcase>")
    assert report.problems


def test_fewer_cases_than_the_suite_says() -> None:
    report = junit.parse('<testsuite tests="2"><testcase name="a"/></testsuite>')
    assert report.problems == ("the suites say 2 cases, 1 were reported",)


def test_no_xml() -> None:
    assert junit.parse("Killed\n").problems == ("no XML of JUnit",)


def test_entities_do_not_grow_without_bounds() -> None:
    """The billion laughs: XML that becomes gigabytes is refused by the parser."""
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    bomb = (
        f'<?xml version="1.0"?><!DOCTYPE t [<!ENTITY l0 "ha">{levels}]><testsuite>&l11;</testsuite>'
    )
    assert junit.parse(bomb).problems


def test_what_is_written_can_be_read() -> None:
    cases = [
        Case("maps \x00<&>", "ok"),
        Case("unmaps", "not ok", 'a "quoted" reason'),
        Case("later", "todo"),
        Case("cut", "incomplete"),
        Case("no device", "skip", "why"),
    ]
    text = junit.document("run", [junit.Group("mm", cases, 1.25, "\x1b[31mred\ud800")])
    assert 'tests="5" failures="2" errors="0" skipped="2" time="1.250"' in text
    report = junit.parse(text)
    assert not report.problems
    assert [case.verdict for case in report.cases] == ["ok", "not ok", "skip", "not ok", "skip"]
    assert report.cases[0].name == "mm > maps \N{REPLACEMENT CHARACTER}<&>"
