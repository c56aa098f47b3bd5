# SPDX-License-Identifier: Apache-2.0
"""What the programs of a suite reported in a run, and where two kernels differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from driver.experiment.definition import CaseFormat, Cases
from driver.guest.job import JobResult
from driver.process import describe_status
from driver.suite import junit, tap
from driver.suite.case import Case, CaseVerdict, Report, unique
from driver.suite.experiment import STATUS

# The program as a whole is a case, too: it may fail, hang or crash the guest in none of its cases.
WHOLE = "(the program)"
ABSENT = "absent"
# From best to worst. A case that is no longer skipped is an improvement, whatever it was skipped
# for; one that has gone is worse than one that fails, as nobody would look for it.
_ORDER = ("ok", "skip", "todo", "not ok", "incomplete", ABSENT)


@dataclass(frozen=True)
class ProgramReport:
    """What one program did on one kernel in one round.

    The report's cases begin with :data:`WHOLE`, whose note says how it ended. ``counters`` is by
    how much the program raised each counter of the suite; ``seconds`` how long the host was busy.
    """

    kernel: str
    program: str
    round: int
    report: Report
    counters: Mapping[str, float]
    seconds: float = 0.0

    @property
    def cases(self) -> tuple[Case, ...]:
        return self.report.cases

    @property
    def verdicts(self) -> dict[str, CaseVerdict]:
        return {case.name: case.verdict for case in self.cases}


@dataclass(frozen=True)
class Difference:
    """A case that two kernels do not agree on, in every round that both ran.

    ``first`` and ``second`` are verdicts, or ``absent``.
    """

    program: str
    case: str
    first: str
    second: str
    note: str

    @property
    def worse(self) -> bool:
        """Whether the second kernel does worse."""
        return _ORDER.index(self.second) > _ORDER.index(self.first)


def finished(rules: Cases, program: str, result: JobResult) -> Report:
    """The cases of a program that ended, with the program itself in front."""
    status = round(next(value.value for value in result.values if value.name == STATUS))
    report = _parsed(rules.formats.get(program, rules.format), result.output)
    names = [_stable(rules, case.name) for case in report.cases]
    cases = [
        Case(name, case.verdict, case.note) for name, case in zip(names, report.cases, strict=True)
    ]
    verdict: CaseVerdict = "ok"
    note = ""
    if status in rules.skip_status:
        verdict, note = "skip", describe_status(status)
    elif status != 0:
        # A shell reports a signal as 128 more than its number.
        verdict, note = "not ok", describe_status(128 - status if status > 128 else status)
    elif report.problems:
        verdict, note = "incomplete", report.problems[0]
    return Report(unique([Case(WHOLE, verdict, note), *cases]), report.problems)


def died(verdict: str, message: str) -> Report:
    """The program that never ended: its guest hung, crashed, or complained."""
    return Report((Case(WHOLE, "not ok", f"{verdict}: {message}"),))


def _parsed(form: CaseFormat, output: str) -> Report:
    if form == "status":
        return Report()
    return junit.parse(output) if form == "junit" else tap.parse(output)


def _stable(rules: Cases, name: str) -> str:
    for pattern in rules.volatile:
        name = re.sub(pattern, "N", name)
    return name


def differences(reports: Iterable[ProgramReport], first: str, second: str) -> Iterator[Difference]:
    """Where the kernel ``second`` disagrees with ``first`` in every round that both have run.

    A case that comes out one way and the other on the same kernel is no difference between kernels.
    """
    rounds: dict[str, dict[int, dict[str, ProgramReport]]] = {}
    for report in reports:
        if report.kernel in (first, second):
            by_round = rounds.setdefault(report.program, {})
            by_round.setdefault(report.round, {})[report.kernel] = report
    for program, by_round in rounds.items():
        pairs = [
            (found[first], found[second])
            for found in by_round.values()
            if first in found and second in found
        ]
        yield from _of_program(program, pairs)


def _of_program(
    program: str, pairs: Sequence[tuple[ProgramReport, ProgramReport]]
) -> Iterator[Difference]:
    names = dict.fromkeys(case.name for pair in pairs for report in pair for case in report.cases)
    for name in names:
        verdicts = [
            (one.verdicts.get(name, ABSENT), two.verdicts.get(name, ABSENT)) for one, two in pairs
        ]
        alike = {_ORDER.index(two) > _ORDER.index(one) for one, two in verdicts}
        if any(one == two for one, two in verdicts) or len(alike) > 1:
            continue
        one, two = verdicts[-1]
        note = next((case.note for case in pairs[-1][1].cases if case.name == name), "")
        yield Difference(program, name, one, two, note)
