# SPDX-License-Identifier: Apache-2.0
"""What a kernel says on the console when something is wrong: one pattern for each kind.

They are matched by :mod:`driver.guest.splat_classifier` against the messages of the kernel's log.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """``fatal``: the kernel stopped or lost a process to a fault. ``broken``: it runs, but
    what it promises no longer holds. ``notice``: it did what it should in a bad situation.
    """

    FATAL = "fatal"
    BROKEN = "broken"
    NOTICE = "notice"


# The last line of what belongs to a splat.
_END_TRACE = re.compile(r"---\[ end trace [0-9a-f]+ \]---")
_END_PANIC = re.compile(r"---\[ end Kernel panic|Rebooting in|Rebooting immediately|reboot: ")
END_TASK = re.compile(r"\s*</TASK>")
SAME_LINE = re.compile("")
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
        "lockdep-deadlock", _BROKEN, END_TASK,
        r"WARNING: possible (?:circular locking dependency|recursive locking) detected",
        r"WARNING: possible irq lock inversion dependency detected",
        r"WARNING: \S+-safe -> \S+-unsafe lock order detected",
    ),
    _kind("lockdep-state", _BROKEN, END_TASK, r"WARNING: inconsistent lock state"),
    _kind(
        "lockdep-held", _BROKEN, END_TASK,
        r"WARNING: (?:bad unlock balance|bad contention) detected",
        r"WARNING: held lock freed!",
        r"WARNING: lock held (?:when returning to user space|at task exit time)",
        r"WARNING: .* still has locks held!",
        r"WARNING: Nested lock was not taken",
        r"BUG: .* still has locks held",
    ),
    _kind("lockdep-context", _BROKEN, END_TASK, r"\[ BUG: Invalid wait context \]"),
    _kind("lockdep-rcu", _BROKEN, END_TASK, r"WARNING: suspicious RCU usage"),
    _kind(
        "lockdep-off", _BROKEN, END_TASK,
        r"BUG: MAX_\w+ too (?:low|small)", r"BUG: MAX_\w+ exceeded",
        r"INFO: trying to register non-static key", r"BUG: looking up invalid subclass",
        r"BUG: key \S+ (?:not in \.data|has not been registered)",
    ),
    _kind("soft-lockup", _BROKEN, END_TASK, r"watchdog: BUG: soft lockup - CPU#", r"BUG: soft lo"),
    _kind(
        "hard-lockup", _BROKEN, END_TASK,
        r"(?:NMI )?watchdog: (?:CPU\d+: )?Watchdog detected hard LOCKUP on cpu",
        r"watchdog: BUG: hard lockup",
    ),
    _kind("workqueue-lockup", _BROKEN, END_TASK, r"BUG: workqueue lockup - pool "),
    _kind(
        "rcu-stall", _BROKEN, END_TASK,
        r"(?:rcu: )?INFO: rcu\w* (?:self-)?detected (?:expedited )?stalls?",
        r"rcu: \S+ kthread (?:starved|timer wakeup didn't happen) for ",
        r"rcu: rcu_\w+: wakeup from unexpected", r"INFO: rcu_tasks detected stalls",
    ),
    _kind("hung-task", _BROKEN, END_TASK, r"INFO: task \S.*:\d+ blocked .*for more than \d+ sec"),
    _kind("atomic-scheduling", _BROKEN, END_TASK, r"BUG: scheduling while atomic: "),
    _kind(
        "atomic-sleep", _BROKEN, END_TASK,
        r"BUG: sleeping function called from invalid context at ",
    ),
    _kind("preemption", _BROKEN, END_TASK, r"BUG: using \S+ in preemptible "),
    _kind(
        "spinlock", _BROKEN, END_TASK,
        r"BUG: (?:spinlock|rwlock) ", r"BUG: rwlock-\S+", r"BUG: mutex ",
    ),
    _kind("bad-page-map", _BROKEN, END_TASK, r"BUG: Bad page map in process "),
    _kind("bad-page", _BROKEN, END_TASK, r"BUG: Bad page (?:state|cache) in process "),
    _kind("bad-rss", _BROKEN, SAME_LINE, r"BUG: Bad rss-counter state mm:"),
    _kind("page-table-leak", _BROKEN, SAME_LINE, r"BUG: non-zero pgtables_bytes on freeing mm: "),
    # mm/pgtable-generic.c: pgd_clear_bad() and its kin.
    _kind("bad-entry", _BROKEN, SAME_LINE, r"\S+:\d+: bad p[gmu4]d [0-9a-f]{8,}"),
    _kind(
        "slab", _BROKEN, END_TASK,
        r"BUG \S+ \(.*\): ", r"BUG: .*slab ", r"kmem_cache_destroy \S+: Slab cache still has obj",
        r"(?:SLUB: )?\S*: Wrong slab cache\. ",
    ),
    _kind("list-corruption", _BROKEN, _END_TRACE, r"list_(?:add|del) corruption"),
    _kind("refcount", _BROKEN, _END_TRACE, r"refcount_t: (?:\S+ on 0|underflow|saturated|decrem)"),
    _kind("debug-object", _BROKEN, _END_TRACE, r"ODEBUG: (?!Out of memory)\S+ "),
    _kind("usercopy", _FATAL, _END_TRACE, r"usercopy: Kernel memory (?:exposure|overwrite) att"),
    _kind("kmemleak", _BROKEN, SAME_LINE, r"kmemleak: \d+ new suspected memory leaks"),
    _kind(
        "warn", _BROKEN, _END_TRACE,
        r"WARNING: CPU: \d+ PID: \d+ at ", r"WARNING: \S+:\d+ at ",
    ),
    _kind(
        "out-of-memory", _NOTICE, SAME_LINE,
        r"(?:Out of memory|Memory cgroup out of memory): Kill",
        r"Out of memory and no killable", r"Out of memory \(oom_kill_allocating_task\)",
    ),
    _kind("allocation-failure", _NOTICE, END_TASK, r"\S.*: page allocation failure: order:\d+"),
    _kind(
        "xfs-corruption", _BROKEN, SAME_LINE,
        r"XFS \([^)]+\): (?:Metadata (?:CRC error|corruption) detected at|Internal error )",
        r"XFS \([^)]+\): Corruption (?:of in-memory data|warning: Metadata has LSN|detected)",
        r"XFS(?: \([^)]+\))?: Assertion failed: ",
        r"XFS \([^)]+\): (?:bad magic number|corrupt (?:inode|dinode)|Bad (?:dir|inode))",
    ),
    _kind(
        "xfs-shutdown", _BROKEN, SAME_LINE,
        r"XFS \([^)]+\): (?:Filesystem has been shut down|User initiated shutdown received"
        r"|Log I/O Error .*Detected|log I/O error -?\d+)",
        r"XFS \([^)]+\): (?:xfs_do_force_shutdown|Please (?:unmount|umount) the filesystem)",
    ),
    _kind(
        "io-error", _BROKEN, SAME_LINE,
        r"(?:Buffer I/O error on dev|I/O error, dev|blk_update_request: I/O error, dev) \S+,",
        r"XFS \([^)]+\): metadata I/O error in ",
    ),
    _kind("memory-failure", _NOTICE, SAME_LINE, r"Memory failure: 0x[0-9a-f]+: "),
    _kind("hardware-error", _NOTICE, SAME_LINE, r"mce: \[Hardware Error\]: (?!Machine check ev)"),
)  # fmt: skip

# Words unknown above: they count when a call trace follows.
UNKNOWN = (
    _kind("bug-other", _BROKEN, END_TASK, r"\[? ?BUG: ", r"BUG \S"),
    _kind("warning-other", _BROKEN, END_TASK, r"WARNING: "),
)

# A kernel that neither prints nor moves (see driver/guest/standstill.py).
STANDSTILL = "standstill"

# Every kind of complaint there is, by name.
KIND_NAMES = frozenset((*(kind.name for kind in (*KINDS, *UNKNOWN)), STANDSTILL))
