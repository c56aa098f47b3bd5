# SPDX-License-Identifier: Apache-2.0
"""Where a project keeps its series, images and experiments."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError

_MARKERS = ("kernel-patches", "guest-images", "experiments")


@dataclass(frozen=True)
class Project:
    """A directory that holds ``kernel-patches/``, ``guest-images/`` and ``experiments/``."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Project:
        """The project at or above ``start`` (``DRIVER_PROJECT`` or the current directory).

        Raises :class:`UserError` when there is none.
        """
        start = start or Path(os.environ.get("DRIVER_PROJECT") or Path.cwd())
        for folder in (start.resolve(), *start.resolve().parents):
            if all((folder / marker).is_dir() for marker in _MARKERS):
                return cls(folder)
        raise UserError(
            f"no project at or above {start}: it needs {', '.join(_MARKERS)}",
            hint="Run the driver inside a checkout, or set DRIVER_PROJECT to one.",
        )

    @property
    def patches(self) -> Path:
        return self.root / "kernel-patches"

    @property
    def images(self) -> Path:
        return self.root / "guest-images"

    @property
    def experiments(self) -> Path:
        return self.root / "experiments"

    @property
    def suites(self) -> Path:
        return self.experiments / "suites"

    @property
    def results(self) -> Path:
        return self.root / "results"
