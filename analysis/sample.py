# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.sample [RUN ...]``: keep runs as the samples that come with the code.

A sample is the manifest and the tables of a run, as they were written. It replaces an older sample
of its experiment. Without runs, the newest one of each experiment that the reply is about is kept.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis.load import RESULTS, SAMPLES, NoRun, find_run, load_run
from analysis.reply.__main__ import EXPERIMENTS
from driver.errors import UserError

# They are part of every clone, in which git packs such tables to a twentieth.
MOST_BYTES = 1_200_000
FILES = ("manifest.json", "trials.csv", "samples.csv", "checks.csv")


class NoSample(ValueError):
    """A run that should not come with the code."""


def keep(path: Path, samples: Path = SAMPLES) -> Path:
    """Copy a run to the samples; returns where it is now.

    Raises :class:`NoSample` for a run with a trial that failed, a check that does not hold, or too
    large a table.
    """
    path = path.resolve()
    run = load_run(path)
    if len(run.finished) < len(run.trials):
        raise NoSample(f"{run.name}: not every trial finished")
    if "fails" in set(run.checks[run.checks["kind"] != "prediction"]["verdict"]):
        raise NoSample(f"{run.name}: a check does not hold")
    size = sum((path / name).stat().st_size for name in FILES)
    if size > MOST_BYTES:
        raise NoSample(f"{run.name} has {size:,} bytes of tables; the limit is {MOST_BYTES:,}")
    place = samples / run.name
    for older in samples.glob(f"{run.manifest.experiment.name}-2*"):
        if older != path:
            shutil.rmtree(older)
    place.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if place != path:
            shutil.copyfile(path / name, place / name)
    return place


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.sample",
        description="Keep runs as the samples that notebooks, tests and the reply are made from.",
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="default: the newest")
    runs = parser.parse_args(arguments).runs
    try:
        for path in runs or [find_run(name, RESULTS, RESULTS) for name in EXPERIMENTS]:
            print(keep(path))
    except (NoRun, NoSample, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
