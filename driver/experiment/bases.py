# SPDX-License-Identifier: Apache-2.0
"""The version of Linux as a factor: one run that compares kernels.

An experiment names series and no version. With one base every kernel of the plan is of that base;
with several, ``base`` is a factor like any other, and whatever groups trials groups by it too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from driver.errors import UserError
from driver.experiment.definition import Arm, Experiment, Factor, Prediction
from driver.experiment.load import Definition, parse
from driver.results.manifest import Manifest

FACTOR = "base"


def across(experiment: Experiment, bases: Sequence[str]) -> Experiment:
    """The experiment with the base as its first factor, if there are several of them.

    Raises :class:`UserError` where the experiment has a factor or a metric of that name already.
    """
    if len(bases) < 2:
        return experiment
    if FACTOR in experiment.factors or FACTOR in experiment.metrics:
        raise UserError(
            f"several versions in --base become a factor `{FACTOR}`, and the experiment already "
            "has a factor or a metric of that name",
            hint="Rename it, or run one version after the other.",
        )
    return experiment.model_copy(
        update={
            "factors": {
                # Arms, not values: what is compared is interleaved.
                FACTOR: Factor(arms={base: Arm(label=f"Linux {base}") for base in bases}),
                **experiment.factors,
            },
            "fits": tuple(
                fit.model_copy(update={"by": (FACTOR, *fit.by)}) for fit in experiment.fits
            ),
            "predictions": tuple(_grouped(each) for each in experiment.predictions),
            "summary_tables": tuple(
                table.model_copy(update={"rows": (FACTOR, *table.rows)})
                for table in experiment.summary_tables
            ),
        }
    )


def definition_of(manifest: Manifest, path: Path) -> Definition:
    """The experiment as it was run: its text, with the bases of the kernels where they varied.

    ``path`` is only named in messages.
    """
    definition = parse(manifest.experiment.name, path, manifest.experiment.text)
    varied = across(definition.experiment, manifest.options.bases)
    return replace(definition, experiment=varied)


def _grouped(prediction: Prediction) -> Prediction:
    """One about slopes makes a line through the trials of each group."""
    if prediction.against is None:
        return prediction
    return prediction.model_copy(update={"by": (FACTOR, *prediction.by)})
