# SPDX-License-Identifier: Apache-2.0
"""Write a file of 1 GiB and a database of LMDB, or one of SQLite, the way programs do."""

import os
import sqlite3
import sys

import lmdb
from files import BASE, DATA, GIB, IN_BASE, IN_TABLE, NEEDLE, NEEDLE_AT, TABLE, record

CHUNK = 1 << 20


def write_data(path: str) -> None:
    """Lines of zeros, and one that is none."""
    line = b"0" * 63 + b"\n"
    chunk = line * (CHUNK // len(line))
    with open(path, "wb", buffering=0) as file:
        for at in range(0, GIB, CHUNK):
            found = line + NEEDLE + chunk[len(line) + len(NEEDLE) :]
            file.write(found if at == NEEDLE_AT else chunk)


def write_table(path: str) -> None:
    with lmdb.open(path, subdir=False, map_size=2 * GIB) as table:
        for number in range(IN_TABLE):
            with table.begin(write=True) as change:
                change.put(number.to_bytes(4, "big"), record(number))


def write_base(path: str) -> None:
    base = sqlite3.connect(path)
    base.execute("pragma page_size = 65536")
    base.execute("pragma journal_mode = wal")
    base.execute("create table records (number integer primary key, content blob)")
    for number in range(IN_BASE):
        base.execute("insert into records values (?, ?)", (number, record(number)))
        base.commit()
    base.close()


def main(kind: str, folder: str) -> None:
    if kind == "base":
        write_base(os.path.join(folder, BASE))
    else:
        write_data(os.path.join(folder, DATA))
        write_table(os.path.join(folder, TABLE))


if __name__ == "__main__":
    main(*sys.argv[1:])
