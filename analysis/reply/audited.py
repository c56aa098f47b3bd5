# SPDX-License-Identifier: Apache-2.0
"""What the kernel counts of page tables, compared with its memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Audited:
    """How many numbers were compared, and how many of them differ."""

    numbers: int
    differences: int


def audited(place: Path) -> Audited:
    """From a run of page-table-audit in a directory."""
    table = pd.read_csv(place / "page_tables_audit.csv")
    return Audited(len(table), int((table["difference"] != 0).sum()))
