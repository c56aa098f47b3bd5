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

from analysis.load import RESULTS, SAMPLES, find_run, load_run
from analysis.refusal import refuse
from analysis.reply.__main__ import EXPERIMENTS
from driver.errors import UserError
from driver.text import share

# They are part of every clone, in which git packs such tables to a twentieth.
MOST_BYTES = 1_200_000
FILES = ("manifest.json", "trials.csv", "samples.csv", "checks.csv")
# What an instrument saw, where the reply is about it.
OBSERVED = ("page_walks.csv", "page_tables.csv", "page_tables_audit.csv")


class NoSample(UserError):
    """A run that should not come with the code."""


def keep(path: Path, samples: Path = SAMPLES) -> Path:
    """Copy a run to the samples; returns where it is now.

    Raises :class:`NoSample` for a run with a trial that failed, a check that does not hold, or too
    large a table.
    """
    path = path.resolve()
    run = load_run(path)
    if len(run.finished) < len(run.trials):
        raise NoSample(
            f"{run.name} cannot be a sample: "
            f"{share(len(run.finished), len(run.trials), 'trial')} finished",
            hint=f"Finish it: driver run --resume {run.name}",
        )
    if "fails" in set(run.checks[run.checks["kind"] != "prediction"]["verdict"]):
        raise NoSample(
            f"{run.name} cannot be a sample: a check does not hold",
            hint=f"See which: driver show {run.name}",
        )
    files = [*FILES, *(name for name in OBSERVED if (path / name).is_file())]
    size = sum((path / name).stat().st_size for name in files)
    if size > MOST_BYTES:
        raise NoSample(
            f"{run.name} cannot be a sample: its tables have {size:,} bytes; "
            f"the limit is {MOST_BYTES:,}",
            hint="Run a smaller plan (--quick, --only), or keep fewer metrics in experiment.toml.",
        )
    place = samples / run.name
    for older in samples.glob(f"{run.manifest.experiment.name}-2*"):
        if older != path:
            shutil.rmtree(older)
    place.mkdir(parents=True, exist_ok=True)
    for name in files:
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
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
