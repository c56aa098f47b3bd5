# SPDX-License-Identifier: Apache-2.0
"""What the cache holds, and which of it goes when there is too much: what was unused for longest.

An artifact in use is locked by the driver that uses it (see :mod:`driver.store`) and stays, and so
does what is being made; all others can be made again from their inputs. Kernel sources and build
directories are not artifacts; they are shown and left alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import re
import shutil
import textwrap
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from filelock import FileLock, Timeout

from driver.errors import UserError
from driver.text import binary

_log = logging.getLogger(__name__)

MANIFEST = "artifact.json"

# Some seventy templates and a dozen kernels.
DEFAULT_LIMIT = "16G"
LIMIT_VARIABLE = "DRIVER_CACHE_LIMIT"

# How much is shown of a command.
_MOST_WORDS = 40

_NAME = re.compile(r"[0-9a-f]{24}")
# Names that the store gives to what is being made, and to what is on its way out.
_UNFINISHED = re.compile(r"(?P<artifact>[a-z]+-[0-9a-f]{24})\.[0-9]+")
_SIZE = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>[KMGT]?)(?:i?B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


@dataclass(frozen=True)
class Entry:
    """An artifact on disk: ``size`` is what it occupies, in bytes; ``used`` when it was last
    handed out, in seconds since 1970; ``about`` what it was made from, in a few words.
    """

    kind: str
    path: Path
    size: int
    used: float
    about: str

    @property
    def busy(self) -> bool:
        """Whether some process is using it at this moment."""
        return not _claim(self.path, keep=True)


def entries(root: Path) -> list[Entry]:
    """Everything that has been stored, the longest unused first."""
    found = []
    for path in root.glob("*/*"):
        if _NAME.fullmatch(path.name) and path.is_dir():
            with contextlib.suppress(FileNotFoundError):  # somebody else has just removed it
                used = path.stat().st_mtime
                found.append(Entry(path.parent.name, path, occupied(path), used, _about(path)))
    return sorted(found, key=lambda entry: (entry.used, entry.path))


def prune(root: Path, most: int, *, dry_run: bool = False) -> list[Entry]:
    """Remove the longest unused artifacts until the rest occupies at most ``most`` bytes.

    Returns what was removed, or would be. Also clears what was being made by processes that were
    killed.
    """
    if not dry_run:
        _clear_unfinished(root)
    found = entries(root)
    excess = sum(entry.size for entry in found) - most
    removed = []
    for entry in found:
        if excess <= 0:
            break
        if entry.busy if dry_run else not _claim(entry.path, keep=False):
            continue
        excess -= entry.size
        removed.append(entry)
        _log.info("%s %s", "would remove" if dry_run else "removed", entry.path)
    return removed


def limit() -> int:
    """How many bytes the artifacts may occupy: ``DRIVER_CACHE_LIMIT``, or 16 GiB."""
    try:
        return parse_size(os.environ.get(LIMIT_VARIABLE) or DEFAULT_LIMIT)
    except UserError as error:
        raise UserError(f"{LIMIT_VARIABLE}: {error.message}", hint=error.hint) from error


def parse_size(text: str) -> int:
    """Bytes, from a number with K, M, G or T (powers of 1024); :class:`UserError` if it is none."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UserError(f"{text!r} is not a size", hint="Write it like 500M or 8G.")
    return int(float(match["number"]) * (1 << _UNITS[match["unit"].upper()]))


def describe(entry: Entry) -> str:
    """An artifact in one line."""
    about = f" ({entry.about})" if entry.about else ""
    used = time.strftime("%Y-%m-%d", time.localtime(entry.used))
    return f"{entry.kind} {entry.path.name[:12]}{about}, {binary(entry.size)}, last used {used}"


def occupied(path: Path) -> int:
    """Bytes that a file or everything below a directory takes on disk: holes take none."""
    inside = path.rglob("*") if path.is_dir() else iter([path])
    total = 0
    for item in inside:
        try:
            total += item.lstat().st_blocks * 512
        except FileNotFoundError:  # somebody tidies up as well
            continue
    return total


def _claim(path: Path, *, keep: bool) -> bool:
    """Whether nobody uses the artifact, which is then removed unless it is to be kept.

    The lock is held until it has another name: a driver that waits for it finds it gone.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if keep:
            return True
        doomed = path.parent.parent / "tmp" / f"pruned-{path.name}.{os.getpid()}"
        doomed.parent.mkdir(exist_ok=True)
        path.rename(doomed)
    except OSError:  # in use, or just gone, or not ours to remove
        return False
    finally:
        os.close(descriptor)
    shutil.rmtree(doomed, ignore_errors=True)
    return True


def _clear_unfinished(root: Path) -> None:
    """Remove what nobody is making any more; who makes something holds the lock of that name."""
    for path in (root / "tmp").glob("*"):
        match = _UNFINISHED.fullmatch(path.name)
        if match is None:
            continue
        lock = FileLock(root / "locks" / f"{match['artifact']}.lock")
        with contextlib.suppress(Timeout), lock.acquire(timeout=0):
            shutil.rmtree(path, ignore_errors=True)


def _about(path: Path) -> str:
    """What tells artifacts of one kind apart, as far as their makers have recorded it."""
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "damaged"
    inputs, facts = manifest.get("inputs", {}), manifest.get("facts", {})
    words = (inputs.get("name"), facts.get("release"), _machine(inputs), _provisioning(inputs))
    return ", ".join(str(word) for word in words if word)


def _machine(inputs: Mapping[str, Any]) -> str:
    """What most tells the machines of templates apart, from the command line of QEMU."""
    argv = inputs.get("argv")
    if not isinstance(argv, list) or "-smp" not in argv:
        return ""
    accelerator = "icount" if "-icount" in argv else argv[argv.index("-accel") + 1]
    processors = argv[argv.index("-smp") + 1]
    return f"{accelerator} x{processors}"


def _provisioning(inputs: Mapping[str, Any]) -> str:
    """The beginning of the command that a template was provisioned with, from its job."""
    job = inputs.get("provision")
    if not isinstance(job, str):
        return ""
    words = unquote(" ".join(re.findall(r"^arg (\S+)$", job, re.MULTILINE))).split()
    return textwrap.shorten(" ".join(words), _MOST_WORDS, placeholder=" ...")
