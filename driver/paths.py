# SPDX-License-Identifier: Apache-2.0
"""Paths that a person typed or wrote into a file."""

from __future__ import annotations

from pathlib import Path

from driver.errors import UserError


def expanded(path: str | Path) -> Path:
    """The path with the home directory for a leading ``~``; :class:`UserError` for ``~NOBODY``."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        user = Path(path).parts[0].removeprefix("~")
        raise UserError(
            f"{path}: there is no user {user!r} whose home directory it could be in",
            hint="Write the path in full, or begin it with ./ if that is a directory's name.",
        ) from error
