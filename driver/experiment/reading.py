# SPDX-License-Identifier: Apache-2.0
"""A run as it lies on disk, judged, with nothing written: for whoever only wants to look."""

from __future__ import annotations

from driver.errors import UserError
from driver.experiment.lifecycle import Conclusion
from driver.experiment.load import parse
from driver.experiment.verdicts import judge
from driver.results.directory import RunDirectory
from driver.results.manifest import read_manifest
from driver.results.reader import read_run
from driver.results.record import read_record


def read_conclusion(directory: RunDirectory) -> Conclusion:
    """The run in a directory and what became of its assertions, by its own experiment's text.

    Only the manifest and the CSV files are needed: the records of the trials may have been left
    behind, and the directory may be one that nobody may write to.
    Raises :class:`UserError` for a run that is going on or damaged.
    """
    manifest = read_manifest(directory)
    if manifest.status != "complete" and not directory.trials_csv.exists():
        resume = f"driver run --resume {directory.name}"
        raise UserError(
            f"the run {directory.name} has not finished",
            hint="Wait for it." if manifest.status == "running" else f"Go on with it: {resume}",
        )
    experiment = parse(
        manifest.experiment.name, directory.manifest, manifest.experiment.text
    ).experiment
    run = read_run(directory.path)
    records = (read_record(directory, planned.id) for planned in manifest.plan)
    return Conclusion(
        directory=directory,
        experiment=experiment,
        run=run,
        verdicts=judge(experiment, run),
        failed=[record for record in records if record is not None and not record.ok],
    )
