# SPDX-License-Identifier: Apache-2.0
"""stress-ng of Debian, on the DAX mount."""

from __future__ import annotations

import re

from driver.image import cpio, libraries, packages
from driver.image.builder import merged
from driver.store import Store

PROGRAM = "/usr/bin/stress-ng"
_SUITE = "bookworm"

# Stressor = its options. Files are made in the mount. Only mmap and msync can be made to map all of
# a gigabyte (each of the two workers half of what is said), and share it with their children.
STRESSORS = {
    "mmap": "--mmap-file --mmap-bytes 2g",
    "mmapfork": "",
    "mmapmany": "",
    "mmapaddr": "",
    "mmapfixed": "",
    "mmaphuge": "",
    "mremap": "--mremap-bytes 64m",
    "madvise": "",
    "mprotect": "",
    "mincore": "",
    "msync": "--msync-bytes 2g",
    "mlock": "",
    "fault": "",
    "fork": "",
    "vfork": "",
    "remap": "",
    "fallocate": "--fallocate-bytes 1g",
    "sync-file": "--sync-file-bytes 1g",
    "userfaultfd": "",
    "vm": "--vm-bytes 128m",
    "vm-addr": "",
    "vm-rw": "--vm-rw-bytes 16m",
    "vm-segv": "",
    "vm-splice": "",
}

# As root, this one has pages of its own fail, and dies of it, on any kernel.
_UNPRIVILEGED = frozenset({"madvise"})

_TABLES = re.compile(r"^dax_pt_share_(create|attach|free) (\d+)$", re.MULTILINE)


def files(store: Store) -> dict[str, cpio.Entry]:
    """stress-ng and its libraries as files of a guest."""
    root = store.scratch("stress-ng") / "root"
    if not root.is_dir():
        packages.unpack(_SUITE, ["stress-ng"], root, store.scratch("logs") / "stress-ng.log")
    entries: dict[str, cpio.Entry] = {}
    for path in libraries.closure(root, [PROGRAM]):
        found = libraries.locate(root, path)
        assert found is not None
        entries[merged(path)] = cpio.File(found, 0o755)
    return entries


def script(stressor: str, seconds: int) -> str:
    """Two workers, alongside a stress of shared tables; then what was shared meanwhile.

    Ends with 1 if the latter found anything wrong.
    """
    unprivileged = f"start-stop-daemon -S -c nobody -x {PROGRAM} --"
    command = unprivileged if stressor in _UNPRIVILEGED else PROGRAM
    return f"""
        cd /mnt/dax && chmod 1777 .
        echo 'nobody:x:65534:65534::/:/bin/sh' >> /etc/passwd
        (echo -1000 > /proc/self/oom_score_adj
         exec stress --no-leak-check --seconds {seconds} --files 1 --processes 4) \\
             > stress.txt 2>&1 &
        sharers=$!
        {command} --{stressor} 2 {STRESSORS[stressor]} \\
            --temp-path /mnt/dax --timeout {seconds}s --verify --metrics-brief --oomable 2>&1
        status=$?
        wait $sharers || status=1
        cat stress.txt
        grep dax_pt_share_ /proc/vmstat
        exit $status
    """


def operations(output: str, stressor: str) -> str:
    """The number of bogo operations, as stress-ng says it."""
    found = re.search(rf"\] {re.escape(stressor)}\s+(\d+)\s", output)
    return found[1] if found else "?"


def tables(output: str) -> dict[str, int]:
    """How many tables were created and freed, and how often one was attached."""
    return {name: int(number) for name, number in _TABLES.findall(output)}
