# SPDX-License-Identifier: Apache-2.0
"""Recognising on the console what a kernel says when something is wrong.

A line counts only if the kernel's log wrote it (it carries printk's time stamp) and only if its
message *begins* the way the kernel's source prints it, so that a command line with ``panic=``, a
program that prints ``WARNING``, or a driver named ``bug`` raises no alarm. A message that opens
with ``BUG:`` or ``WARNING:`` in words unknown here is believed once a call trace follows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

# printk.time=1, and the caller that CONFIG_PRINTK_CALLER adds (task or CPU).
_STAMP = re.compile(r"\[ *(?P<time>\d+\.\d{6})\](?:\[ *[TC]\d+\])? ")

# An excerpt never outgrows this; lockdep's reports are the longest (about 150 lines).
_MOST_LINES = 250
# How far behind an unknown "BUG:" its trace may follow.
_PATIENCE_LINES = 30
_PATIENCE_SECONDS = 1.0

_TRACE = re.compile(r"\s*Call Trace:|CPU: \d+ (?:UID: \d+ )?PID: \d+ Comm: ")
_HEADER = re.compile(r"-+\[ cut here \]-+$|=+$|watchdog: |NMI watchdog: ")


class Severity(StrEnum):
    """``fatal``: the kernel stopped or lost a process to a fault. ``broken``: it goes on, but
    what it promises no longer holds. ``notice``: it did what it should in a bad situation.
    """

    FATAL = "fatal"
    BROKEN = "broken"
    NOTICE = "notice"


# The last line of what belongs to a splat.
_END_TRACE = re.compile(r"---\[ end trace [0-9a-f]+ \]---")
_END_PANIC = re.compile(r"---\[ end Kernel panic|Rebooting in|Rebooting immediately|reboot: ")
_END_TASK = re.compile(r"\s*</TASK>")
_SAME_LINE = re.compile("")
_END_RULER = re.compile("=+$")


@dataclass(frozen=True)
class Kind:
    """A class of splats: how its first line begins and what its last line looks like."""

    name: str
    severity: Severity
    begins: re.Pattern[str]
    ends: re.Pattern[str]


def _kind(name: str, severity: Severity, ends: re.Pattern[str], *begins: str) -> Kind:
    return Kind(name, severity, re.compile("|".join(f"(?:{text})" for text in begins)), ends)


_FATAL, _BROKEN, _NOTICE = Severity.FATAL, Severity.BROKEN, Severity.NOTICE
# die() appends the error code and the count of such deaths; since 6.11 it also says "Oops: " first.
_DIES = r": [0-9a-f]{4} \[#\d+\]"

# The special before the general: the first that matches names the splat. The strings are those
# of Linux 6.12; where a later or earlier release words it otherwise, both are given.
KINDS: tuple[Kind, ...] = (
    _kind("panic", _FATAL, _END_PANIC, r"Kernel panic - not syncing: ", r"PANIC: early exception"),
    # lib/bug.c prints "kernel BUG at FILE:LINE!"; these files mean something more precise.
    _kind("page-table-check", _FATAL, _END_TRACE, r"kernel BUG at mm/page_table_check\.c:\d+!"),
    _kind("bug", _FATAL, _END_TRACE, r"kernel BUG at \S+:\d+!"),
    _kind(
        "stack-overflow", _FATAL, _END_TRACE,
        r"BUG: (?:\S+ )?stack guard page was hit at ",
        r"(?:Oops: )?stack guard page" + _DIES,
        r"kernel stack overflow",
        r"Thread overran stack, or stack corrupted",
        r"BUG: stack corruption|corrupted stack end detected",
    ),
    _kind(
        "double-fault", _FATAL, _END_TRACE,
        r"(?:traps: )?(?:Oops: |PANIC: )double fault", r"double fault" + _DIES,
    ),
    _kind(
        "general-protection", _FATAL, _END_TRACE,
        r"Oops: general protection fault", r"general protection fault\b.*" + _DIES,
    ),
    _kind("kasan", _BROKEN, _END_RULER, r"BUG: KASAN: "),
    _kind("kfence", _BROKEN, _END_RULER, r"BUG: KFENCE: "),
    _kind("kmsan", _BROKEN, _END_RULER, r"BUG: KMSAN: "),
    _kind("kcsan", _BROKEN, _END_RULER, r"BUG: KCSAN: "),
    _kind("ubsan", _BROKEN, re.compile(r"---\[ end trace \]---"), r"UBSAN: \S+ in "),
    _kind(
        "oops", _FATAL, _END_TRACE,
        r"BUG: kernel NULL pointer dereference, address: ",
        r"BUG: unable to handle (?:page fault|kernel )",
        r"Oops: ",
        r"(?:invalid opcode|divide error|int3|stack segment|segment not present|alignment check"
        r"|invalid TSS|bounds|control protection|coprocessor segment overrun)" + _DIES,
    ),
    _kind(
        "lockdep-deadlock", _BROKEN, _END_TASK,
        r"WARNING: possible (?:circular locking dependency|recursive locking) detected",
        r"WARNING: possible irq lock inversion dependency detected",
        r"WARNING: \S+-safe -> \S+-unsafe lock order detected",
    ),
    _kind("lockdep-state", _BROKEN, _END_TASK, r"WARNING: inconsistent lock state"),
    _kind(
        "lockdep-held", _BROKEN, _END_TASK,
        r"WARNING: (?:bad unlock balance|bad contention) detected",
        r"WARNING: held lock freed!",
        r"WARNING: lock held (?:when returning to user space|at task exit time)",
        r"WARNING: .* still has locks held!",
        r"WARNING: Nested lock was not taken",
        r"BUG: .* still has locks held",
    ),
    _kind("lockdep-context", _BROKEN, _END_TASK, r"\[ BUG: Invalid wait context \]"),
    _kind("lockdep-rcu", _BROKEN, _END_TASK, r"WARNING: suspicious RCU usage"),
    _kind(
        "lockdep-off", _BROKEN, _END_TASK,
        r"BUG: MAX_\w+ too (?:low|small)", r"BUG: MAX_\w+ exceeded",
        r"INFO: trying to register non-static key", r"BUG: looking up invalid subclass",
        r"BUG: key \S+ (?:not in \.data|has not been registered)",
    ),
    _kind("soft-lockup", _BROKEN, _END_TASK, r"watchdog: BUG: soft lockup - CPU#", r"BUG: soft lo"),
    _kind(
        "hard-lockup", _BROKEN, _END_TASK,
        r"(?:NMI )?watchdog: (?:CPU\d+: )?Watchdog detected hard LOCKUP on cpu",
        r"watchdog: BUG: hard lockup",
    ),
    _kind("workqueue-lockup", _BROKEN, _END_TASK, r"BUG: workqueue lockup - pool "),
    _kind(
        "rcu-stall", _BROKEN, _END_TASK,
        r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stalls?",
        r"rcu: \S+ kthread (?:starved|timer wakeup didn't happen) for ",
        r"rcu: rcu_\w+: wakeup from unexpected", r"INFO: rcu_tasks detected stalls",
    ),
    _kind("hung-task", _BROKEN, _END_TASK, r"INFO: task \S.*:\d+ blocked .*for more than \d+ sec"),
    _kind("atomic-scheduling", _BROKEN, _END_TASK, r"BUG: scheduling while atomic: "),
    _kind(
        "atomic-sleep", _BROKEN, _END_TASK,
        r"BUG: sleeping function called from invalid context at ",
    ),
    _kind("preemption", _BROKEN, _END_TASK, r"BUG: using \S+ in preemptible "),
    _kind(
        "spinlock", _BROKEN, _END_TASK,
        r"BUG: (?:spinlock|rwlock) ", r"BUG: rwlock-\S+", r"BUG: mutex ",
    ),
    _kind("bad-page-map", _BROKEN, _END_TASK, r"BUG: Bad page map in process "),
    _kind("bad-page", _BROKEN, _END_TASK, r"BUG: Bad page (?:state|cache) in process "),
    _kind("bad-rss", _BROKEN, _SAME_LINE, r"BUG: Bad rss-counter state mm:"),
    _kind("page-table-leak", _BROKEN, _SAME_LINE, r"BUG: non-zero pgtables_bytes on freeing mm: "),
    # mm/pgtable-generic.c: pgd_clear_bad() and its kin.
    _kind("bad-entry", _BROKEN, _SAME_LINE, r"\S+:\d+: bad p[gmu4]d [0-9a-f]{8,}"),
    _kind(
        "slab", _BROKEN, _END_TASK,
        r"BUG \S+ \(.*\): ", r"BUG: .*slab ", r"kmem_cache_destroy \S+: Slab cache still has obj",
        r"(?:SLUB: )?\S*: Wrong slab cache\. ",
    ),
    _kind("list-corruption", _BROKEN, _END_TRACE, r"list_(?:add|del) corruption"),
    _kind("refcount", _BROKEN, _END_TRACE, r"refcount_t: (?:\S+ on 0|underflow|saturated|decrem)"),
    _kind("debug-object", _BROKEN, _END_TRACE, r"ODEBUG: (?!Out of memory)\S+ "),
    _kind("usercopy", _FATAL, _END_TRACE, r"usercopy: Kernel memory (?:exposure|overwrite) att"),
    _kind("kmemleak", _BROKEN, _SAME_LINE, r"kmemleak: \d+ new suspected memory leaks"),
    _kind(
        "warn", _BROKEN, _END_TRACE,
        r"WARNING: CPU: \d+ PID: \d+ at ", r"WARNING: \S+:\d+ at ",
    ),
    _kind(
        "out-of-memory", _NOTICE, _SAME_LINE,
        r"(?:Out of memory|Memory cgroup out of memory): Kill",
        r"Out of memory and no killable", r"Out of memory \(oom_kill_allocating_task\)",
    ),
    _kind("allocation-failure", _NOTICE, _END_TASK, r"\S.*: page allocation failure: order:\d+"),
    _kind(
        "xfs-corruption", _BROKEN, _SAME_LINE,
        r"XFS \([^)]+\): (?:Metadata (?:CRC error|corruption) detected at|Internal error )",
        r"XFS \([^)]+\): Corruption (?:of in-memory data|warning: Metadata has LSN|detected)",
        r"XFS(?: \([^)]+\))?: Assertion failed: ",
        r"XFS \([^)]+\): (?:bad magic number|corrupt (?:inode|dinode)|Bad (?:dir|inode))",
    ),
    _kind(
        "xfs-shutdown", _BROKEN, _SAME_LINE,
        r"XFS \([^)]+\): (?:Filesystem has been shut down|User initiated shutdown received"
        r"|Log I/O Error .*Detected|log I/O error -?\d+)",
        r"XFS \([^)]+\): (?:xfs_do_force_shutdown|Please (?:unmount|umount) the filesystem)",
    ),
    _kind(
        "io-error", _BROKEN, _SAME_LINE,
        r"(?:Buffer I/O error on dev|I/O error, dev|blk_update_request: I/O error, dev) \S+,",
        r"XFS \([^)]+\): metadata I/O error in ",
    ),
    _kind("memory-failure", _NOTICE, _SAME_LINE, r"Memory failure: 0x[0-9a-f]+: "),
    _kind("hardware-error", _NOTICE, _SAME_LINE, r"mce: \[Hardware Error\]: (?!Machine check ev)"),
)  # fmt: skip

# Words unknown above: believed when a call trace follows.
_UNKNOWN = (
    _kind("bug-other", _BROKEN, _END_TASK, r"\[? ?BUG: ", r"BUG \S"),
    _kind("warning-other", _BROKEN, _END_TASK, r"WARNING: "),
)


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
        self._ends = _SAME_LINE
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
        # What stands before the stamp is a program's unfinished line, or a "\r".
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
        if kind.ends is _SAME_LINE:
            self._close()

    def _continue(self, splat: Splat, line: str, message: str, kind: Kind | None) -> None:
        self._collect(splat, line)
        if kind is not None and kind.severity is Severity.FATAL:
            # The same misfortune, worse: "BUG: unable to handle" becomes an oops, then a panic.
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
                self._open, self._ends, self._suspect = suspect, _END_TASK, None
                self.splats.append(suspect)
                return
        kind = _match(message, _UNKNOWN)
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


def classify(text: str) -> list[Splat]:
    """The splats in a whole console log."""
    classifier = Classifier()
    classifier.feed(text)
    classifier.finish()
    return classifier.splats


def _match(message: str, kinds: Iterable[Kind]) -> Kind | None:
    return next((kind for kind in kinds if kind.begins.match(message)), None)
