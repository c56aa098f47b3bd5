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
