# SPDX-License-Identifier: Apache-2.0
"""How long a plan will take: judged by an earlier run beforehand, and by itself while it runs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from driver.errors import UserError
from driver.experiment.plan import Trial
from driver.results.directory import LATEST, RunDirectory
from driver.results.manifest import read_manifest
from driver.results.record import read_record


def estimate(results: Path, experiment: str, plan: Sequence[Trial], jobs: int) -> float | None:
    """Seconds for the trials alone (not for building), or None without an earlier run.

    A trial that was run before counts what it took then, a new one the median of the others.
    """
    for path in sorted(results.glob(f"{experiment}-*/manifest.json"), reverse=True):
        if path.parent.name == LATEST:
            continue
        seconds = _seconds(RunDirectory(path.parent))
        if seconds:
            usual = statistics.median(seconds.values())
            return sum(seconds.get(trial.id, usual) for trial in plan) / jobs
    return None


def _seconds(run: RunDirectory) -> dict[str, float]:
    try:
        manifest = read_manifest(run)
        records = [read_record(run, planned.id) for planned in manifest.plan]
    except UserError:  # of another schema version, or damaged: it cannot be asked
        return {}
    return {record.id: record.last.host_seconds for record in records if record and record.ok}


def time_left(trials: int, clock: Callable[[], float] = time.monotonic) -> Callable[[], str]:
    """A function to call when a trial has finished: how long the rest of ``trials`` will take.

    Its answer is for the end of a progress line: ``, about 40 s left``, or nothing at the end.
    """
    began = clock()
    finished = 0

    def left() -> str:
        nonlocal finished
        finished += 1
        if finished >= trials:
            return ""
        seconds = (clock() - began) / finished * (trials - finished)
        return f", about {rough(seconds)} left"

    return left


def rough(seconds: float) -> str:
    """A duration in the unit a person would use for it."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"
