# SPDX-License-Identifier: Apache-2.0
"""Counter sources: the texts kernels print, and texts they do not."""

from __future__ import annotations

import pytest

from driver.counters import by_path, sources
from driver.counters.source import FOLD_STATISTICS, Reading, Scope, UnreadableSource

MEMINFO = """MemTotal:        1015952 kB
PageTables:          840 kB
Active(anon):        120 kB
HugePages_Total:       3
"""

STATUS = """Name:\tfootprint
State:\tS (sleeping)
VmPeak:\t 1049876 kB
VmPTE:\t    2092 kB
Threads:\t1
voluntary_ctxt_switches:\t17
"""

SMAPS_ROLLUP = """10000000-7ffd5d3f7000 ---p 00000000 00:00 0                      [rollup]
Rss:                 884 kB
Pss_Dirty:            88 kB
"""

# The name of a program may be anything.
STAT = (
    "812 (a) b (c) S 1 812 812 0 -1 4194560 1234 56 7 8 150 25 3 4 20 0 9 0 100 1000 20 "
    "18446744073709551615 1 2 3 0 0\n"
)
MAPS = """00400000-004c0000 r-xp 00000000 00:02 12                                 /usr/bin/x
7f0000000000-7f0040000000 rw-s 00000000 103:00 131                       /mnt/dax/a b
7f0040000000-7f0040001000 rw-s 40000000 103:00 131                       /mnt/dax/a b
7ffe00000000-7ffe00021000 rw-p 00000000 00:00 0                          [stack]
7ffe00030000-7ffe00031000 rw-p 00000000 00:00 0
"""
SMAPS = """7f0000000000-7f0040000000 rw-s 00000000 103:00 131                       /mnt/dax/data
Size:            1048576 kB
KernelPageSize:        4 kB
MMUPageSize:           4 kB
Rss:                2048 kB
FilePmdMapped:      2048 kB
THPeligible:           1
VmFlags: rd wr sh mr mw me ms hg
7f0040000000-7f0040200000 rw-s 40000000 103:00 131                       /mnt/dax/data
Rss:                   4 kB
ProtectionKey:         0
7ffe00030000-7ffe00031000 rw-p 00000000 00:00 0
Rss:                   8 kB
"""


def test_every_source_is_discovered_and_unambiguous() -> None:
    found = sources()
    assert list(found) == sorted(found)
    assert {"meminfo", "vmstat", "status", "smaps_rollup", "kpageflags", "value"} <= set(found)
    assert len(by_path()) == len(found), "two sources read the same text"
    assert all(source.summary and source.parse.__doc__ for source in found.values())


def test_kernel_wide_counters_ask_for_the_fold() -> None:
    for name in ("meminfo", "vmstat"):
        assert FOLD_STATISTICS in sources()[name].refresh


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("meminfo", MEMINFO, Reading("PageTables", "B", 840 * 1024)),
        ("meminfo", MEMINFO, Reading("Active(anon)", "B", 120 * 1024)),
        ("meminfo", MEMINFO, Reading("HugePages_Total", "pages", 3)),
        ("vmstat", "nr_page_table_pages 210\n", Reading("nr_page_table_pages", "pages", 210)),
        ("vmstat", "nr_free_pages -3\n", Reading("nr_free_pages", "pages", -3)),
        ("vmstat", "pgfault 99\n", Reading("pgfault", "events", 99)),
        ("status", STATUS, Reading("VmPTE", "B", 2092 * 1024)),
        ("status", STATUS, Reading("voluntary_ctxt_switches", "events", 17)),
        ("smaps_rollup", SMAPS_ROLLUP, Reading("Pss_Dirty", "B", 88 * 1024)),
        ("kpageflags", "nopage 5\npgtable 247\n", Reading("pgtable", "pages", 247)),
        ("stat", STAT, Reading("minflt", "faults", 1234)),
        ("stat", STAT, Reading("cminflt", "faults", 56)),
        ("stat", STAT, Reading("majflt", "faults", 7)),
        ("stat", STAT, Reading("cmajflt", "faults", 8)),
        ("stat", STAT, Reading("utime", "ms", 1500)),
        ("stat", STAT, Reading("cstime", "ms", 40)),
        ("stat", STAT, Reading("num_threads", "threads", 9)),
        ("maps", MAPS, Reading("mappings", "mappings", 5)),
        ("maps", MAPS, Reading("shared", "mappings", 2)),
        ("maps", MAPS, Reading("size:/mnt/dax/a b", "B", (1 << 30) + 4096)),
        ("smaps", SMAPS, Reading("Rss:/mnt/dax/data", "B", 2052 * 1024)),
        ("smaps", SMAPS, Reading("FilePmdMapped:/mnt/dax/data", "B", 2048 * 1024)),
        ("smaps", SMAPS, Reading("Rss:", "B", 8 * 1024)),
    ],
)
def test_reads_what_the_kernel_prints(name: str, text: str, expected: Reading) -> None:
    assert expected in sources()[name].parse(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("meminfo", ""),
        ("meminfo", "PageTables: 840 MB\n"),
        ("meminfo", "cat: /proc/meminfo: I/O error\n"),
        ("vmstat", ""),
        ("vmstat", "pgfault\n"),
        ("status", ""),
        ("status", "Name:\tkthreadd\nThreads:\t1\n"),
        ("smaps_rollup", ""),
        ("smaps_rollup", "header\nRss: many kB\n"),
        ("kpageflags", ""),
        ("stat", ""),
        ("stat", "812 (x) S 1\n"),
        ("maps", ""),
        ("maps", "7f00-7f01 rw-s\n"),
        ("smaps", ""),
        ("smaps", "Rss: 4 kB\n"),
        ("smaps", SMAPS + "Rss: many kB\n"),
        ("kpageflags", "pgtable -1\n"),
        ("value", "anything"),
    ],
)
def test_refuses_what_it_cannot_read(name: str, text: str) -> None:
    with pytest.raises(UnreadableSource, match=name):
        sources()[name].parse(text)


def test_only_workload_values_have_no_text() -> None:
    assert [source.name for source in sources().values() if source.scope is Scope.WORKLOAD] == [
        "value"
    ]
