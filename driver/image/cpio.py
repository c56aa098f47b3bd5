# SPDX-License-Identifier: Apache-2.0
"""Initramfs archives: cpio in the "newc" format, the same bytes for the same files.

The kernel unpacks any number of archives one after the other, so a guest's own files (SSH keys,
a job, test programs) travel in a second archive appended to the image that all guests share.
Written here rather than by cpio(1) because owner, inode, time and order are then ours to fix,
without root and without a copy of the tree. Format: Documentation/driver-api/early-userspace/
buffer-format.rst in the kernel source.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

_MAGIC = b"070701"
# Bytes of an entry before its name.
_HEADER = 6 + 13 * 8
_TRAILER = "TRAILER!!!"
# Archives are padded to a whole number of blocks, as cpio(1) does; the next one starts aligned.
_BLOCK = 512


@dataclass(frozen=True)
class File:
    """A regular file: its bytes, or where on the host they are; and its permissions."""

    content: bytes | Path
    mode: int = 0o644


@dataclass(frozen=True)
class Link:
    """A symbolic link to ``target``, which is not resolved."""

    target: str


@dataclass(frozen=True)
class Directory:
    """A directory. Parents of other entries appear by themselves, with this mode."""

    mode: int = 0o755


Entry = File | Link | Directory


def write(path: Path, entries: Mapping[str, Entry]) -> None:
    """Write an archive of ``entries``, by absolute guest path, to ``path``.

    Everything belongs to root and is dated 1970; entries are sorted. Raises :class:`ValueError`
    for a path that is relative or leaves the root, or an entry below something that is not a
    directory.
    """
    complete = _with_parents(entries)
    with path.open("wb") as archive:
        for inode, name in enumerate(sorted(complete), start=1):
            entry = complete[name]
            _write_entry(archive, name, _mode(entry), _content(entry), inode)
        _write_entry(archive, _TRAILER, 0, b"", 0)
        archive.write(bytes(-archive.tell() % _BLOCK))


def concatenate(archives: Iterable[Path], path: Path) -> None:
    """Join archives into one initramfs; a later one's file replaces an earlier one's."""
    with path.open("wb") as joined:
        for archive in archives:
            # An archive must start on a multiple of 4, where one of ours also ends.
            joined.write(bytes(-joined.tell() % 4))
            with archive.open("rb") as source:
                shutil.copyfileobj(source, joined, 1 << 20)


def read(path: Path) -> Iterator[tuple[str, bytes]]:
    """The regular files of an initramfs, by path without the leading ``/``; of all its archives.

    Not compressed ones: raises :class:`ValueError` for what is no newc archive.
    """
    data = path.read_bytes()
    at = 0
    while at < len(data):
        if not data[at : at + 4].strip(b"\0"):  # padding between archives
            at += 4
            continue
        if not data.startswith(_MAGIC, at):
            raise ValueError(f"{path} is not a cpio archive at byte {at}")
        numbers = [int(data[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = data[at + _HEADER : at + _HEADER + name_size - 1].decode()
        start = at + len(_padded(bytes(_HEADER + name_size)))
        at = start + size + -size % 4
        if stat.S_ISREG(mode):
            yield name, data[start : start + size]


def _with_parents(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    complete: dict[str, Entry] = {}
    for text, entry in entries.items():
        guest_path = PurePosixPath(text)
        if not guest_path.is_absolute() or ".." in guest_path.parts:
            raise ValueError(f"{text!r} is not an absolute path without '..'")
        complete[str(guest_path.relative_to("/"))] = entry
    for name in list(complete):
        for parent in PurePosixPath(name).parents:
            if str(parent) != "." and not isinstance(
                complete.setdefault(str(parent), Directory()), Directory
            ):
                raise ValueError(f"/{name} lies below /{parent}, which is not a directory")
    complete.pop(".", None)  # "/" itself: the kernel has made it
    return complete


def _mode(entry: Entry) -> int:
    match entry:
        case File():
            return stat.S_IFREG | entry.mode
        case Link():
            return stat.S_IFLNK | 0o777
        case Directory():
            return stat.S_IFDIR | entry.mode


def _content(entry: Entry) -> bytes:
    match entry:
        case File(content=Path() as source):
            return source.read_bytes()
        case File(content=bytes() as content):
            return content
        case Link():
            return entry.target.encode()
        case _:
            return b""


def _write_entry(archive: BinaryIO, name: str, mode: int, content: bytes, inode: int) -> None:
    encoded = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name, checksum.
    numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = _MAGIC + b"".join(b"%08X" % number for number in numbers)
    archive.write(_padded(header + encoded))
    archive.write(_padded(content))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
