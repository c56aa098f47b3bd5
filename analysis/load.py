# SPDX-License-Identifier: Apache-2.0
"""Which run to look at, and whether it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from driver.errors import UserError
from driver.results.reader import Run, read_run

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
SAMPLES = ROOT / "analysis" / "samples"


_ANOTHER = "Name a run of that experiment; list them: driver list"


class NoRun(UserError):
    """There is no run of the experiment that a notebook is about."""


def find_run(experiment: str, results: Path = RESULTS, samples: Path = SAMPLES) -> Path:
    """The newest run of an experiment, or else the newest sample of one that comes with the code.

    Names of runs end in their UTC time, so the newest is the last by name. Raises :class:`NoRun`.
    """
    for folder in (results, samples):
        runs = sorted(path.parent for path in folder.glob(f"{experiment}-2*/manifest.json"))
        if runs:
            return runs[-1]
    raise NoRun(
        f"there is no run of {experiment} in {results}",
        hint=f"Make one: driver run experiment {experiment}",
    )


def load_runs(experiments: Sequence[str], given: Path | str | None = None) -> dict[str, Run]:
    """A run of each experiment: the given one for its own, for others the newest one next to it.

    Where there is none it is what :func:`find_run` finds. Raises what :func:`load_run` and
    :func:`find_run` do, and :class:`NoRun` for a given run of none of the experiments.
    """
    runs = {}
    results = RESULTS
    if given is not None:
        results = Path(given).resolve().parent
        run = load_run(given)
        name = run.manifest.experiment.name
        if name not in experiments:
            raise NoRun(
                f"{given} is a run of {name}, not of {' or '.join(experiments)}", hint=_ANOTHER
            )
        runs[name] = run
    for name in experiments:
        if name not in runs:
            runs[name] = load_run(find_run(name, results), experiment=name)
    return runs


def load_run(path: Path | str, *, experiment: str | None = None) -> Run:
    """Read and validate a run; ``experiment`` is what it must be a run of.

    Raises :class:`driver.errors.UserError` for a damaged run and :class:`NoRun` for one of another
    experiment or without a single finished trial.
    """
    run = read_run(Path(path))
    name = run.manifest.experiment.name
    if experiment is not None and name != experiment:
        raise NoRun(f"{path} is a run of {name}, not of {experiment}", hint=_ANOTHER)
    if run.finished.empty:
        raise NoRun(
            f"no trial of {path} has finished", hint=f"Continue it: driver run --resume {run.name}"
        )
    return run
