# SPDX-License-Identifier: Apache-2.0
"""What is in the files of the experiment, for those who write and those who read them."""

GIB = 1 << 30
# A program looks at one byte of so many.
STEP = 64 << 10
DATA, TABLE, BASE = "data", "table.lmdb", "base.sqlite"

# Records of 16 MiB. SQLite maps no more than its file, which therefore has more than 1 GiB; LMDB
# maps all that it may ever grow to.
RECORD = 16 << 20
IN_TABLE, IN_BASE = 16, 66

# A line that ripgrep finds after 128 MiB; it is none of those that others look at.
NEEDLE = b"needle in the haystack\n"
NEEDLE_AT = 128 << 20


def record(number: int) -> bytes:
    """The content of a record: its number, again and again."""
    return number.to_bytes(4, "little") * (RECORD // 4)


def checksum(records: int) -> int:
    """The sum of the bytes of so many records that a program looks at."""
    return sum(number & 0xFF for number in range(records)) * (RECORD // STEP)
