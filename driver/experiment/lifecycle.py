# SPDX-License-Identifier: Apache-2.0
"""Carrying out a run, however often it is interrupted, up to its tables and verdicts."""

from __future__ import annotations

import contextlib

from driver.errors import UserError
from driver.experiment.bases import definition_of
from driver.experiment.conclusion import Conclusion, conclude
from driver.experiment.runner import Runner
from driver.experiment.work import Work
from driver.progress import Reporter
from driver.results import provenance
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest, read_manifest, write_manifest
from driver.results.record import read_record
from driver.results.writer import write_tables


def carry_out(run: RunDirectory, manifest: Manifest, work: Work, reporter: Reporter) -> Conclusion:
    """Run what is not finished, write the tables, read them back and judge them.

    The caller holds the run's lock. An interrupt leaves the run marked, tabled and resumable.
    """
    experiment = work.definition.experiment
    run.sweep()
    write_manifest(run, manifest)
    run.point_latest()
    runner = Runner(
        run=run,
        manifest=manifest,
        factories={request: prepared.factory for request, prepared in work.guests.items()},
        retry=experiment.retry,
        reporter=reporter,
        digest_nvdimm=experiment.digest_nvdimm or manifest.options.digest_nvdimm,
    )
    try:
        records = runner.execute(work.plan, jobs=manifest.options.jobs)
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            write_manifest(run, manifest.model_copy(update={"status": "interrupted"}))
            write_tables(run, manifest, runner.kept)
        raise
    write_tables(run, manifest, runner.kept)
    finished = {"status": "complete", "finished": provenance.now()}
    write_manifest(run, manifest.model_copy(update=finished))
    return conclude(run, experiment, records)


def rebuild(run: RunDirectory) -> None:
    """Make the CSV files of a run again, from the records of its trials.

    Raises :class:`UserError` for a run that was left with its CSV files only: they would be lost.
    """
    manifest = read_manifest(run)
    definition = definition_of(manifest, run.manifest)
    with run.lock():
        found = [read_record(run, planned.id) for planned in manifest.plan]
        records = [record for record in found if record is not None]
        if not records and run.trials_csv.exists():
            raise UserError(
                f"{run.name} has no trial records, only CSV files",
                hint="They cannot be made again. Show the run without --rebuild.",
            )
        write_tables(run, manifest)
        conclude(run, definition.experiment, records)
