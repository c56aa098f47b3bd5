# SPDX-License-Identifier: Apache-2.0
"""One check and its result."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from driver.doctor.systems import System


class CheckStatus(enum.StrEnum):
    """``missing``: the driver needs it; ``note``: worth knowing."""

    OK = "ok"
    NOTE = "note"
    MISSING = "missing"


@dataclass(frozen=True)
class Finding:
    """``found`` says what there is, and ``purpose`` what it is for, unless that is obvious.

    ``remedy`` is the command that fixes it on each system; the same one for all where the system
    does not matter.
    """

    area: str
    name: str
    verdict: CheckStatus
    found: str
    purpose: str = ""
    remedy: Mapping[System, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        return {
            "area": self.area,
            "name": self.name,
            "verdict": self.verdict.value,
            "found": self.found,
            "purpose": self.purpose,
            "remedy": {system.value: command for system, command in self.remedy.items()},
        }


def everywhere(command: str) -> dict[System, str]:
    """A remedy that does not depend on the system."""
    return dict.fromkeys(System, command)
