# SPDX-License-Identifier: Apache-2.0
"""Directories of the host as entries of a guest's file system."""

from __future__ import annotations

from pathlib import Path

from driver.image import cpio


def tree(root: Path) -> dict[str, cpio.Entry]:
    """The files and links below a directory of the host, by guest path."""
    entries: dict[str, cpio.Entry] = {}
    for path in sorted(root.rglob("*")):
        name = f"/{path.relative_to(root)}"
        if path.is_symlink():
            entries[name] = cpio.Link(str(path.readlink()))
        elif path.is_file():
            # Only the executable bit: the others depend on the umask of the checkout.
            entries[name] = cpio.File(path, 0o755 if path.stat().st_mode & 0o100 else 0o644)
    return entries
