# SPDX-License-Identifier: Apache-2.0
"""One process: map, look at a byte of every 64 KiB, say the sum, wait for the end of input.

worker.py lmdb|lmdb-write|sqlite|numpy|numpy-copy|populate FOLDER
"""

import mmap
import os
import sys

from files import BASE, DATA, GIB, IN_BASE, RECORD, STEP, TABLE, record


def lmdb_reader(folder):
    import lmdb

    table = lmdb.open(os.path.join(folder, TABLE), subdir=False, readonly=True, map_size=2 * GIB)
    with table.begin(buffers=True) as view:
        return sum(sum(content[::STEP]) for _key, content in view.cursor()), table


def lmdb_writer(folder):
    """Replaces records by what they were, while others read."""
    import lmdb

    table = lmdb.open(os.path.join(folder, TABLE), subdir=False, map_size=2 * GIB)
    for number in range(4):
        with table.begin(write=True) as change:
            change.put(number.to_bytes(4, "big"), record(number))
    with table.begin(buffers=True) as view:
        return sum(sum(content[::STEP]) for _key, content in view.cursor()), table


def sqlite_reader(folder):
    import sqlite3

    base = sqlite3.connect(os.path.join(folder, BASE))
    base.execute(f"pragma mmap_size = {2 * GIB}")
    total = 0
    for number in range(IN_BASE):
        with base.blobopen("records", "content", number, readonly=True) as blob:
            for at in range(0, RECORD, STEP):
                blob.seek(at)
                total += blob.read(1)[0]
    return total, base


def numpy_array(folder, mode="r"):
    import numpy

    array = numpy.memmap(os.path.join(folder, DATA), mode=mode)
    if mode == "c":  # copy on write: a thousandth of the pages
        array[:: 1000 * 4096] = ord("0")
    return int(array[::STEP].sum(dtype=numpy.int64)), array


def populated(folder):
    with open(os.path.join(folder, DATA), "rb") as file:
        data = mmap.mmap(
            file.fileno(), 0, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE, prot=mmap.PROT_READ
        )
    return sum(data[::STEP]), data


WORK = {
    "lmdb": lmdb_reader,
    "lmdb-write": lmdb_writer,
    "sqlite": sqlite_reader,
    "numpy": numpy_array,
    "numpy-copy": lambda folder: numpy_array(folder, "c"),
    "populate": populated,
}


def work(kind, folder, answer, go):
    """Do it, write the sum to ``answer``, and keep everything mapped until ``go`` ends."""
    total, kept = WORK[kind](folder)
    answer.write(f"{total}\n".encode())
    answer.flush()
    go.read()
    del kept


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], sys.stdout.buffer, sys.stdin.buffer)
