# SPDX-License-Identifier: Apache-2.0
"""TAP 13 and 14, and KTAP, the kernel's dialect (``Documentation/dev-tools/ktap.rst``).

Parsers of TAP on PyPI stop at the first line that is out of order, and do not know KTAP's nesting.
What a test program of the kernel prints is often cut, mixed with other output, or wrong, and the
verdicts that are there must be counted. So each line is taken for what it is, and what
does not fit is a problem of the report, not an exception.

Subtests are indented (by four columns in TAP 14, by two in KTAP) or, from the kselftest runner,
behind ``# ``. The result of a group comes after its subtests, at the outer level.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from driver.suite.case import SEPARATOR, Case, CaseVerdict, Report, unique

# In the kernel's log each line has a time in front.
_KERNEL_TIME = re.compile(r"^\[ *\d+\.\d+\](?:\[ *[CT]\d+\])? ?")
_RESULT = re.compile(
    r"(?P<result>ok|not ok)\b(?: +(?P<number>\d+))?(?P<text>.*)", re.IGNORECASE | re.DOTALL
)
_PLAN = re.compile(r"1\.\.(?P<last>\d+)(?: *# *(?P<reason>.*))?$")
_VERSION = re.compile(r"K?TAP version \d+$", re.IGNORECASE)
_SUBTEST = re.compile(r"# Subtest:? +(?P<name>.+)")
_BAIL_OUT = re.compile(r"Bail out!(?P<reason>.*)")
# A directive stands behind an unescaped `#`.
_DIRECTIVE = re.compile(
    r"(?<!\\)#\s*(?P<word>skip\S*|todo|xfail|timeout|error|exit=\d+)\b:?\s*(?P<reason>.*)$",
    re.IGNORECASE,
)
_ESCAPED = re.compile(r"\\([\\#])")


@dataclass
class _Group:
    """Cases at one depth of indentation, until the result line of their group closes them."""

    indent: int
    name: str = ""
    plan: int | None = None
    skipped: str | None = None
    cases: list[Case] = field(default_factory=list)
    results: int = 0


@dataclass
class _Reading:
    """The groups that are open, from the outermost, and what was wrong so far."""

    open: list[_Group] = field(default_factory=lambda: [_Group(0)])
    problems: list[str] = field(default_factory=list)
    title: str = ""
    bailed_out: bool = False

    def group(self, indent: int) -> _Group:
        """The group of this depth; deeper ones are closed without a result, a new one is opened."""
        while self.open[-1].indent > indent:
            self._close(self.open.pop())
        if self.open[-1].indent < indent:
            self.open.append(_Group(indent, self.title))
        self.title = ""
        return self.open[-1]

    def subtests(self, indent: int) -> _Group | None:
        """The group whose result line comes now, at the depth ``indent``."""
        found = None
        while self.open[-1].indent > indent:
            if found is not None:
                self._close(found)
            found = self.open.pop()
        return found

    def _close(self, group: _Group) -> None:
        """Subtests whose own result never came: the group is incomplete."""
        name = group.name or "(a group without a name)"
        outer = self.open[-1]
        outer.cases += [_within(name, case) for case in group.cases]
        self._count(group, name)
        if self.bailed_out or group.cases or group.plan:
            outer.cases.append(Case(name, "incomplete", "no result after its subtests"))
            outer.results += 1

    def finish(self) -> None:
        while len(self.open) > 1:
            self._close(self.open.pop())
        self._count(self.open[0], "")

    def _count(self, group: _Group, name: str) -> None:
        if group.plan is not None and group.plan != group.results:
            where = f"{name}: " if name else ""
            self.problems.append(
                f"{where}the plan says {group.plan} cases, {group.results} were reported"
            )

    def result(self, indent: int, match: re.Match[str]) -> None:
        subtests = self.subtests(indent)
        group = self.group(indent)
        name, directive, reason = _description(match["text"])
        name = name or (subtests.name if subtests else "") or f"case {group.results + 1}"
        if subtests is not None:
            group.cases += [_within(name, case) for case in subtests.cases]
            self._count(subtests, name)
        verdict = _verdict(match["result"].lower() == "ok", directive)
        group.results += 1
        number = int(match["number"]) if match["number"] else group.results
        if number != group.results and group.plan is not None:
            self.problems.append(f"{name}: has the number {number}, is result {group.results}")
        group.cases.append(Case(name, verdict, reason))

    def planned(self, indent: int, match: re.Match[str]) -> None:
        group = self.group(indent)
        if group.plan is not None:
            self.problems.append(f"a second plan: {match[0]}")
            return
        group.plan = int(match["last"])
        if group.plan == 0:
            group.skipped = re.sub(r"(?i)^skip\S*:?\s*", "", match["reason"] or "")


def parse(output: str) -> Report:
    """The cases of TAP or KTAP, in whatever else was printed.

    Never raises. A program that printed none has no cases and a problem; a plan of ``1..0`` is a
    program that skipped everything, which is neither.
    """
    reading = _Reading()
    in_yaml = False
    for raw in output.splitlines():
        line = _KERNEL_TIME.sub("", raw.rstrip())
        text = line.lstrip()
        indent = len(line) - len(text)
        if text in ("---", "...") and indent:
            in_yaml = text == "---"
            continue
        if in_yaml and indent and not _RESULT.match(text):
            continue
        in_yaml = False
        # kselftest's runner prints what a program said behind "# ", as deep as that is nested.
        while text.startswith("# ") and (
            (inner := text[2:].lstrip())
            and (_numbered(inner) or _PLAN.match(inner) or inner.startswith("# "))
        ):
            indent, text = indent + 2, inner
        if _VERSION.match(text):
            continue
        if match := _SUBTEST.match(text):
            reading.title = match["name"].strip()
        elif match := _BAIL_OUT.match(text):
            reading.bailed_out = True
            reading.problems.append(f"it bailed out:{match['reason']}".rstrip(":"))
        elif match := _PLAN.match(text):
            reading.planned(indent, match)
        elif match := _numbered(text):
            reading.result(indent, match)
    reading.finish()
    outer = reading.open[0]
    if not outer.cases and outer.skipped is not None and not reading.problems:
        return Report((Case("(everything)", "skip", outer.skipped),))
    if not outer.cases and not reading.problems:
        reading.problems.append("no line of TAP")
    return Report(unique(outer.cases), tuple(reading.problems))


def _numbered(text: str) -> re.Match[str] | None:
    """A result line. Without a number only lower case counts: "Ok, next" is prose."""
    match = _RESULT.fullmatch(text)
    if match is None:
        return None
    if match["number"] is None and not text.startswith(("ok - ", "not ok - ", "not ok", "ok #")):
        return None if text != "ok" else match
    return match


def _description(text: str) -> tuple[str, str, str]:
    """Name, directive in lower case (or nothing) and its reason, of what follows the number."""
    directive, reason = "", ""
    if match := _DIRECTIVE.search(text):
        directive, reason = match["word"].lower(), match["reason"].strip()
        text = text[: match.start()]
    name = re.sub(r"^\s*-?\s*", "", text).strip()
    name = _ESCAPED.sub(r"\1", name)
    return " ".join(name.split()), directive, reason


def _verdict(passed: bool, directive: str) -> CaseVerdict:
    if directive.startswith("skip"):
        return "skip"
    if directive in ("todo", "xfail") and not passed:
        return "todo"
    if directive in ("timeout", "error") or directive.startswith("exit="):
        return "not ok"
    return "ok" if passed else "not ok"


def _within(group: str, case: Case) -> Case:
    return Case(f"{group}{SEPARATOR}{case.name}", case.verdict, case.note)
