# SPDX-License-Identifier: Apache-2.0
"""A comparison for programs: JSON and CSV.

Numbers are in the unit of their row; a change is the second run's less the first's, and
``relative`` is that as a fraction of the first, null (or empty) where the first is zero.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from driver.compare.comparison import ComparedRow, Comparison
from driver.compare.condition import ConditionMet

# After these come the factors.
COLUMNS = (
    "metric", "unit", "first", "second", "change", "relative", "low", "high", "basis", "outcome",
)  # fmt: skip


def as_json(comparison: Comparison, findings: Sequence[ConditionMet]) -> str:
    """One object: the two runs, every row, and what could not be compared and why."""
    return json.dumps(
        {
            "first": comparison.first.run.name,
            "second": comparison.second.run.name,
            "experiment": comparison.first.run.manifest.experiment.name,
            "confidence": comparison.confidence,
            "circumstances": [asdict(item) for item in comparison.circumstances],
            "unlike": comparison.unlike,
            "faults": comparison.faults,
            "unmatched": comparison.unmatched,
            "refused": comparison.refused,
            "notes": comparison.notes,
            "rows": [
                {**_numbers(row), "factors": dict((*row.arm, *row.place))}
                for row in comparison.rows
            ],
            "met": [
                {
                    "condition": found.condition.text,
                    "rows": [
                        {"metric": row.quantity.name, "factors": dict((*row.arm, *row.place))}
                        for row in found.rows
                    ],
                }
                for found in findings
            ],
        },
        indent=2,
    )


def as_csv(comparison: Comparison) -> str:
    """One line per row, with a column for each factor the runs share."""
    rows = comparison.rows
    factors = list(dict.fromkeys(name for row in rows for name, _ in (*row.arm, *row.place)))
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(
        buffer, (*COLUMNS, *factors), lineterminator="\n", restval="", extrasaction="raise"
    )
    writer.writeheader()
    for row in rows:
        numbers = {key: "" if value is None else value for key, value in _numbers(row).items()}
        writer.writerow({**numbers, **dict((*row.arm, *row.place))})
    return buffer.getvalue()


def _numbers(row: ComparedRow) -> dict[str, Any]:
    found = row.difference
    return {
        "metric": row.quantity.name,
        "unit": row.quantity.unit,
        "first": _plain(found.first if found else None),
        "second": _plain(found.second if found else None),
        "change": _plain(found.change if found else None),
        "relative": _plain(found.relative() if found else None),
        "low": _plain(found.low if found else None),
        "high": _plain(found.high if found else None),
        "basis": str(found.basis) if found else None,
        "outcome": str(row.outcome),
    }


def _plain(value: float | None) -> float | int | None:
    """Whole numbers without a fraction; JSON has no infinity."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() else value
