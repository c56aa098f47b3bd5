# SPDX-License-Identifier: Apache-2.0
"""What to do when trials that must agree to the byte do not.

Every exact trial with the same factors does the same, and most of them say what that is. The odd
one was disturbed: when an emulated processor falls asleep, QEMU (7.2, with ``sleep=off``) moves
guest time on to the next timer from another thread, without asking whether the instructions just
executed have been counted yet. If the host takes its processor away within that fraction of a
microsecond, time moves on too far by these instructions, a hundred or so, once. A plan with one
round has nobody to disagree with, which is what ``--repeat 2`` is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from driver.results.record import TrialRecord
from driver.results.schema import DISTURBED

# How often outliers are run again.
MAX_RETRIES = 3


def outliers(records: Iterable[TrialRecord]) -> list[TrialRecord]:
    """The trials that differ from most of those with the same factors.

    Where there is no majority, all of them. Trials without digests promise nothing.
    """
    groups: dict[tuple[object, ...], list[TrialRecord]] = {}
    for record in records:
        if record.ok and record.digests:
            groups.setdefault(tuple(record.factors.items()), []).append(record)
    return [record for group in groups.values() for record in _minority(group)]


def disturbed(record: TrialRecord) -> TrialRecord:
    """The record of an outlier, whose last attempt no longer counts."""
    *earlier, last = record.attempts
    message = "differs from the other rounds of this trial: the emulator was disturbed"
    last = last.model_copy(update={"verdict": DISTURBED, "message": message})
    return record.model_copy(update={"attempts": [*earlier, last]})


def _minority(group: list[TrialRecord]) -> list[TrialRecord]:
    outcomes = Counter(_outcome(record) for record in group)
    if len(outcomes) == 1:
        return []
    (first, most), (_, next_most) = outcomes.most_common(2)
    return [record for record in group if most == next_most or _outcome(record) != first]


def _outcome(record: TrialRecord) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(record.digests.items()))
