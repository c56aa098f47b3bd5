# SPDX-License-Identifier: Apache-2.0
"""Carrying out a run, however often it is interrupted, up to its tables and verdicts."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from driver.errors import UserError
from driver.experiment.attempt import Measuring
from driver.experiment.bases import definition_of
from driver.experiment.conclusion import Conclusion, conclude
from driver.experiment.executor import OpenExecutor, local_executor
from driver.experiment.runner import Runner
from driver.experiment.work import Work
from driver.progress import Reporter
from driver.results import provenance
from driver.results.directory import RunDirectory
from driver.results.manifest import Manifest, read_manifest, write_manifest
from driver.results.record import read_record
from driver.results.tidy import Number
from driver.results.writer import write_tables


def carry_out(
    run: RunDirectory,
    manifest: Manifest,
    work: Work,
    reporter: Reporter,
    open_executor: OpenExecutor | None = None,
) -> Conclusion:
    """Run what is not finished, write the tables, read them back and judge them.

    ``open_executor`` opens what makes the attempts; by default guests of this host do. The caller
    holds the run's lock. An interrupt leaves the run marked, tabled and resumable.
    """
    experiment = work.definition.experiment
    run.sweep()
    write_manifest(run, manifest)
    run.point_latest()
    options = manifest.options
    measuring = Measuring(
        keep=manifest.keep,
        validity=manifest.validity,
        digest_nvdimm=experiment.digest_nvdimm or options.digest_nvdimm,
        allowed=frozenset(options.allow_splat),
        timeout_factor=options.timeout_factor,
    )
    open_executor = open_executor or local_executor(options.jobs)
    kept: dict[str, Sequence[Number]] = {}
    try:
        with open_executor(run, work, measuring) as executor:
            runner = Runner(run, manifest, executor, experiment.retry, reporter, kept)
            records = runner.execute(work.plan)
    except BaseException:
        with contextlib.suppress(OSError):  # a full disk must not hide what went wrong first
            write_manifest(run, manifest.model_copy(update={"status": "interrupted"}))
            write_tables(run, manifest, kept)
        raise
    write_tables(run, manifest, kept)
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
