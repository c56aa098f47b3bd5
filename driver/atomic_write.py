# SPDX-License-Identifier: Apache-2.0
"""Replacing a file in one step."""

from __future__ import annotations

import os
import re
from pathlib import Path

# What a file is called that is not finished: its name to be, and who writes it.
UNFINISHED = re.compile(r"\..+\.[0-9]+")


def write_atomically(path: Path, content: bytes | str) -> None:
    """Replace a file so that a reader, or a crash, sees the old or the new and no mixture.

    The file is flushed before the rename and the directory after it: when this returns, the file
    survives a loss of power. Text is written as UTF-8.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # write(2) fails on a descriptor: Python knows no name, and who reads the message needs one.
        if error.filename is None:
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
