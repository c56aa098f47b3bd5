# SPDX-License-Identifier: Apache-2.0
"""The image that another process sees through a private mapping, without its help."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver.digest import file_digest
from driver.errors import HostError
from driver.guest.cow_digest import image_digest

MIB = 1 << 20
SIZE = 9 * MIB

# Maps a file privately, writes bytes at the offsets it was given, reads everything, and waits.
PROGRAM = """
import mmap, sys
with open(sys.argv[1], "rb") as file:
    view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
for offset in map(int, sys.argv[2:]):
    view[offset] = 0xA5
sum(view[::4096])
print(flush=True)
sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Data at both ends and a hole in between."""
    path = tmp_path / "an image, with a comma"
    with path.open("wb") as image:
        image.write(random.Random(1).randbytes(MIB + 5000))
        image.seek(SIZE - 3 * 4096)
        image.write(random.Random(2).randbytes(3 * 4096))
    return path


@contextmanager
def mapping(path: Path, *offsets: int) -> Iterator[int]:
    words = [sys.executable, "-c", PROGRAM, str(path), *map(str, offsets)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"\n"
        yield child.pid
        child.kill()


def written(path: Path, *offsets: int) -> Path:
    """A copy of the file with the same bytes written."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    with copy.open("r+b") as file:
        for offset in offsets:
            file.seek(offset)
            file.write(b"\xa5")
    return copy


@pytest.mark.parametrize(
    "offsets",
    [(), (0,), (5, 4097, MIB + 4999), (4 * MIB, 4 * MIB + 4096, 7 * MIB - 1), (SIZE - 1,)],
    ids=["nothing", "first", "data", "hole", "last"],
)
def test_it_is_what_a_copy_would_be(file: Path, offsets: tuple[int, ...]) -> None:
    with mapping(file, *offsets) as pid:
        assert image_digest(pid, file, SIZE) == file_digest(written(file, *offsets))


def test_a_byte_more_or_less_is_another_image(file: Path) -> None:
    found = set()
    for offsets in ((), (4 * MIB,), (4 * MIB + 1,), (4 * MIB, 5 * MIB)):
        with mapping(file, *offsets) as pid:
            found.add(image_digest(pid, file, SIZE))
    assert len(found) == 4


def test_only_the_first_bytes_count(file: Path) -> None:
    """The label area at the end of an NVDIMM's file is no part of what the guest sees."""
    short = SIZE - 2 * MIB
    with mapping(file, 100, SIZE - 1) as pid:
        copy = written(file, 100)
        os.truncate(copy, short)
        assert image_digest(pid, file, short) == file_digest(copy)


def test_a_process_that_is_gone(file: Path) -> None:
    with mapping(file) as pid:
        pass
    with pytest.raises(HostError, match="cannot read the memory of QEMU"):
        image_digest(pid, file, SIZE)
