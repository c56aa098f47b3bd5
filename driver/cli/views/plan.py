# SPDX-License-Identifier: Apache-2.0
"""A plan before it is run: its trials and how long they may take."""

from __future__ import annotations

import typer

from driver.api.plans import ExperimentPlan
from driver.experiment.estimate import rough
from driver.text import counted


def print_plan(planned: ExperimentPlan, seconds: float | None) -> None:
    """One line per trial, then what they need; ``seconds`` is an estimate for all of them."""
    trials = planned.trials
    for trial in trials:
        writes = "".join(f"  {write.path}={write.text}" for write in trial.job.setup)
        typer.echo(f"{trial.id}\t{' '.join(trial.job.argv)}{writes}")
    kernels = [request.kernel for request in planned.guests]
    series = [f"series {each.series} on {each.base}" for each in kernels]
    rounds = counted(max(trial.repeat for trial in trials) + 1, "round")
    typer.echo(f"{counted(len(trials), 'trial')} in {rounds}; {', '.join(dict.fromkeys(series))}")
    if seconds is None:
        typer.echo("no earlier run of this experiment to estimate the time from")
    else:
        typer.echo(f"about {rough(seconds)}, judged by the newest earlier run, without building")
