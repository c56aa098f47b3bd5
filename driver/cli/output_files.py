# SPDX-License-Identifier: Apache-2.0
"""Files that a command writes where a person wants them."""

from __future__ import annotations

import shlex
from pathlib import Path

from driver.errors import UserError


def check_output_file(path: Path | None, name: str) -> None:
    """Raise :class:`UserError` for a file that cannot be made, before the work that fills it.

    ``name`` is what it could be called, for the hint. None is no file.
    """
    if path is None:
        return
    if path.is_dir():
        raise UserError(
            f"cannot write {path}: it is a directory",
            hint=f"Name a file in it: {shlex.quote(str(path / name))}",
        )
    if not path.parent.is_dir():
        raise UserError(
            f"cannot write {path}: there is no directory {path.parent}",
            hint=f"Create it first: mkdir -p {shlex.quote(str(path.parent))}",
        )
