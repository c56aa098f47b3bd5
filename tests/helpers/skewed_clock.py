# SPDX-License-Identifier: Apache-2.0
"""A calendar that is wrong, for one process and its children: see :func:`install`."""

from __future__ import annotations

from pathlib import Path

_SITE = """
import time as _time
_real, _real_ns = _time.time, _time.time_ns
_time.time = lambda: _real() + {seconds}
_time.time_ns = lambda: _real_ns() + {seconds} * 10**9
"""


def install(folder: Path, seconds: int) -> Path:
    """Make a folder that, on PYTHONPATH, moves the time of day by so many seconds."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(_SITE.format(seconds=seconds))
    return folder
