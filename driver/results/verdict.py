# SPDX-License-Identifier: Apache-2.0
"""The words for what became of an assertion, and of a prediction made of several."""

from __future__ import annotations

from collections.abc import Iterable

# Of one assertion about one subject, as checks.csv has them.
HOLDS, FAILS, NO_DATA = "holds", "fails", "no data"
# Of a prediction, about everything it was asked of.
CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "undecided"


def of_prediction(rows: Iterable[str]) -> str:
    """Refuted by one counter-example; confirmed only if it holds wherever it was asked."""
    found = set(rows)
    if FAILS in found:
        return REFUTED
    return CONFIRMED if found == {HOLDS} else UNDECIDED
