# SPDX-License-Identifier: Apache-2.0
"""JUnit's XML, which fstests calls xunit: read what a program printed, write what a run found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from driver.suite.case import SEPARATOR, Case, CaseVerdict, Report, unique

_BEGIN = re.compile(r"<\?xml|<testsuites?\b")
# XML 1.0, section 2.2: most control characters have no place in a document, even escaped.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FAILED = ("not ok", "incomplete")
_SKIPPED = ("skip", "todo")
_VERDICTS: dict[str, CaseVerdict] = {"failure": "not ok", "error": "not ok", "skipped": "skip"}


def parse(output: str) -> Report:
    """The cases of the XML in a program's output; of XML that is cut, those that are whole.

    Never raises. ``name`` is ``CLASS > NAME``, or the name alone where the class says nothing.
    """
    begin = _BEGIN.search(output)
    if begin is None:
        return Report(problems=("no XML of JUnit",))
    cases: list[Case] = []
    problems: list[str] = []
    declared = 0
    try:
        for element in _elements(output[begin.start() :]):
            if element.tag == "testcase":
                cases.append(_case(element))
            elif element.tag == "testsuite" and element.find("testsuite") is None:
                declared += int(count) if (count := element.get("tests", "")).isdecimal() else 0
    except ElementTree.ParseError as error:
        problems.append(f"the XML is not whole: {error}")
    if declared > len(cases):
        problems.append(f"the suites say {declared} cases, {len(cases)} were reported")
    if not cases and not problems:
        problems.append("no test case in the XML")
    return Report(unique(cases), tuple(problems))


def _elements(text: str) -> Iterator[ElementTree.Element]:
    """The elements of a document as they end; :class:`ParseError` behind the last that is whole."""
    parser: Any = ElementTree.XMLPullParser(["end"])  # its stubs know only start-ns and end-ns
    text = _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
    # Behind the document other output may follow.
    end = max(text.rfind("</testsuites>"), text.rfind("</testsuite>"))
    # The parser raises a mistake when the events before it have been read.
    parser.feed(text if end < 0 else text[: text.index(">", end) + 1])
    for _event, element in parser.read_events():
        yield element
    parser.close()


def _case(element: ElementTree.Element) -> Case:
    name, group = element.get("name") or "(a case without a name)", element.get("classname") or ""
    if group and group not in ("global", name):
        name = f"{group}{SEPARATOR}{name}"
    for child in element:
        if child.tag in _VERDICTS:
            note = child.get("message") or (child.text or "").strip()
            return Case(name, _VERDICTS[child.tag], note)
    return Case(name, "ok")


@dataclass(frozen=True)
class Group:
    """Cases to write as one ``<testsuite>``; ``seconds`` is how long the host was busy with it."""

    name: str
    cases: Sequence[Case]
    seconds: float = 0.0
    output: str = ""


def document(name: str, groups: Iterable[Group]) -> str:
    """The groups as JUnit's XML, for a CI system. A known failure (``todo``) counts as skipped."""
    root = ElementTree.Element("testsuites", name=_clean(name))
    for group in groups:
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=_clean(group.name),
            tests=str(len(group.cases)),
            failures=str(sum(case.verdict in _FAILED for case in group.cases)),
            errors="0",
            skipped=str(sum(case.verdict in _SKIPPED for case in group.cases)),
            time=f"{group.seconds:.3f}",
        )
        for case in group.cases:
            element = ElementTree.SubElement(
                suite, "testcase", name=_clean(case.name), classname=_clean(group.name)
            )
            note = _clean(case.note or case.verdict)
            if case.verdict in _SKIPPED:
                ElementTree.SubElement(element, "skipped", message=note)
            elif case.verdict in _FAILED:
                ElementTree.SubElement(element, "failure", message=note, type=case.verdict)
        if group.output:
            ElementTree.SubElement(suite, "system-out").text = _clean(group.output)
    ElementTree.indent(root)
    text: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return text.decode() + "\n"


def _clean(text: str) -> str:
    return _NO_XML.sub("\N{REPLACEMENT CHARACTER}", text)
