# SPDX-License-Identifier: Apache-2.0
"""Recognising on the console what a kernel says when something is wrong.

A line counts only if the kernel's log wrote it (it carries printk's time stamp) and only if its
message *begins* the way the kernel's source prints it, so that a command line with ``panic=``, a
program that prints ``WARNING``, or a driver named ``bug`` raises no alarm. A message that opens
with ``BUG:`` or ``WARNING:`` in words unknown here counts once a call trace follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from driver.guest.splat_patterns import END_TASK, KINDS, SAME_LINE, UNKNOWN, Kind, Severity

# printk.time=1, and the caller that CONFIG_PRINTK_CALLER adds (task or CPU).
_STAMP = re.compile(r"\[ *(?P<time>\d+\.\d{6})\](?:\[ *[TC]\d+\])? ")

# An excerpt never outgrows this; lockdep's reports are the longest (about 150 lines).
_MOST_LINES = 250
# How far behind an unknown "BUG:" its trace may follow.
_PATIENCE_LINES = 30
_PATIENCE_SECONDS = 1.0

_TRACE = re.compile(r"\s*Call Trace:|CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: ")
_HEADER = re.compile(r"-+\[ cut here \]-+$|=+$|watchdog: |NMI watchdog: ")


@dataclass
class Splat:
    """Something the kernel complained about; ``excerpt`` grows until ``complete``."""

    kind: str
    severity: Severity
    message: str
    excerpt: list[str] = field(default_factory=list)
    complete: bool = False

    def text(self) -> str:
        return "\n".join(self.excerpt)


class Classifier:
    """Reads a console in any portions and keeps the splats it finds, in order."""

    def __init__(self) -> None:
        self.splats: list[Splat] = []
        self._partial = ""
        self._header: list[str] = []
        self._open: Splat | None = None
        self._ends = SAME_LINE
        self._suspect: Splat | None = None
        self._suspect_since = 0.0

    @property
    def collecting(self) -> bool:
        """Whether the latest splat's last line has not been seen yet."""
        return self._open is not None

    def feed(self, text: str) -> None:
        """Take in what the console printed since the last call."""
        lines = (self._partial + text).split("\n")
        self._partial = lines.pop()
        for line in lines:
            self._line(line.rstrip("\r"))

    def finish(self) -> None:
        """There will be no more: judge the last, unfinished line; close what is open."""
        if self._partial:
            self._line(self._partial.rstrip("\r"))
            self._partial = ""
        self._close()

    def _line(self, line: str) -> None:
        stamp = _STAMP.search(line)
        if stamp is None:
            if self._open is not None:  # a program's line in between; part of the evidence
                self._collect(self._open, line)
            return
        message = line[stamp.end() :]
        # Text before the stamp is a program's unfinished line, or a "\r".
        line = line[stamp.start() :]
        kind = _match(message, KINDS)
        if self._open is not None:
            self._continue(self._open, line, message, kind)
        elif kind is not None:
            self._suspect = None
            self._begin(kind, line, message)
        else:
            self._suspicion(line, message, float(stamp["time"]))
        self._header = [*self._header[-1:], line] if _HEADER.match(message) else []

    def _begin(self, kind: Kind, line: str, message: str) -> None:
        self._open = Splat(kind.name, kind.severity, message, [*self._header])
        self.splats.append(self._open)
        self._ends = kind.ends
        self._collect(self._open, line)
        if kind.ends is SAME_LINE:
            self._close()

    def _continue(self, splat: Splat, line: str, message: str, kind: Kind | None) -> None:
        self._collect(splat, line)
        if kind is not None and kind.severity is Severity.FATAL:
            # The same failure gets worse: "BUG: unable to handle" becomes an oops, then a panic.
            splat.severity = Severity.FATAL
            self._ends = kind.ends
        elif self._ends.match(message):
            self._close()

    def _suspicion(self, line: str, message: str, time: float) -> None:
        suspect = self._suspect
        if suspect is not None:
            self._collect(suspect, line)
            late = time > self._suspect_since + _PATIENCE_SECONDS
            if late or len(suspect.excerpt) > _PATIENCE_LINES:
                self._suspect = None
            elif _TRACE.match(message):
                self._open, self._ends, self._suspect = suspect, END_TASK, None
                self.splats.append(suspect)
                return
        kind = _match(message, UNKNOWN)
        if kind is not None and self._suspect is None:
            self._suspect = Splat(kind.name, kind.severity, message, [*self._header, line])
            self._suspect_since = time

    def _collect(self, splat: Splat, line: str) -> None:
        splat.excerpt.append(line)
        if len(splat.excerpt) >= _MOST_LINES and self._open is splat:
            self._close()

    def _close(self) -> None:
        if self._open is not None:
            self._open.complete = True
            self._open = None


def has_stamp(text: str) -> bool:
    """Whether the text has a line of the kernel's log: without time stamps nothing is found."""
    return _STAMP.search(text) is not None


def classify(text: str) -> list[Splat]:
    """The splats in a whole console log."""
    classifier = Classifier()
    classifier.feed(text)
    classifier.finish()
    return classifier.splats


def _match(message: str, kinds: Iterable[Kind]) -> Kind | None:
    return next((kind for kind in kinds if kind.begins.match(message)), None)
