# SPDX-License-Identifier: Apache-2.0
"""The trials of a run, and what the guest of one printed."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import typer
from rich.table import Table
from rich.text import Text

from driver.api.decoding import decode_trial
from driver.cli.views import layout
from driver.errors import UserError
from driver.experiment.bases import definition_of
from driver.kernel.stacktrace import Decoded
from driver.results.directory import RunDirectory
from driver.results.faults import of_records
from driver.results.manifest import Manifest, read_manifest
from driver.results.record import TrialRecord, read_raw, read_record
from driver.results.schema import OK, PENDING
from driver.store import Store
from driver.suggestion import closest
from driver.text import counted, enumerated

# So many candidates fit a message.
_MOST_NAMES = 6
_SHORTEST_TABLE = ("trial", "verdict", "attempts", "seconds", "message")


def print_trials(run: RunDirectory, *, failed: bool) -> None:
    """One row per trial; if ``failed``, only those without a result or with a fault."""
    layout.console().print(_overview(run, read_manifest(run), failed))


def print_trial(
    run: RunDirectory,
    name: str,
    *,
    attempt: int | None = None,
    lines: int | None,
    console_only: bool,
    store: Store,
) -> None:
    """The attempts at a trial and the console of one (default: the last), or its last ``lines``.

    ``console_only`` prints the console verbatim, without source lines.
    """
    manifest = read_manifest(run)
    chosen = match(name, [planned.id for planned in manifest.plan], run.name)
    if console_only:
        typer.echo("\n".join(_lines(_console(run, chosen, attempt), lines)))
        return
    for line in _story(run, manifest, chosen, store):
        typer.echo(line)
    record = _record(run, chosen)
    text = "\n".join(_lines(_console(run, chosen, attempt), lines))
    several = len(record.attempts) > 1
    shown = f"attempt {attempt or len(record.attempts)}" if several else "the guest"
    typer.echo(f"console of {shown}" + (f", its last {counted(lines, 'line')}:" if lines else ":"))
    typer.echo(_decoded(text, manifest, run, record, store).text)


def print_output(run: RunDirectory, name: str) -> None:
    """What the workload of a trial printed; only of a trial that has a result."""
    chosen = match(name, [planned.id for planned in read_manifest(run).plan], run.name)
    if not _record(run, chosen).ok:
        raise UserError(
            f"the output of {chosen} was lost with its guest: it has no result",
            hint=f"Its console: driver logs {run.name} {chosen}",
        )
    typer.echo(read_raw(run, chosen).output, nl=False)


def match(given: str, names: Sequence[str], run: str) -> str:
    """The one name that is ``given`` or begins with it.

    Raises :class:`UserError` naming the candidates if there are several, and what is near if there
    is none.
    """
    if given in names:
        return given
    found = [name for name in names if name.startswith(given)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UserError(
            f"{len(found)} trials begin with {given!r}",
            hint=f"Give more of the name: {enumerated(found, _MOST_NAMES)}.",
        )
    close = closest(given, names, alike=0.4, most=3)
    inside = [name for name in names if given in name][:_MOST_NAMES]
    hint = f"Did you mean {' or '.join(inside or close)}?" if inside or close else None
    raise UserError(
        f"the run {run} has no trial called {given!r}",
        hint=hint or f"List its trials: driver logs {shlex.quote(run)}",
    )


def _overview(run: RunDirectory, manifest: Manifest, failed: bool) -> Table:

    table = layout.table()
    for heading in _SHORTEST_TABLE:
        right = heading in ("attempts", "seconds")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    table.columns[0].no_wrap = True
    tabled = _tabled(run)
    for planned in manifest.plan:
        record = read_record(run, planned.id)
        if record is None:
            verdict, attempts, message = tabled.get(planned.id, ("not run", "", ""))
            if not (failed and verdict == OK):
                style = "green" if verdict == OK else "yellow"
                table.add_row(planned.id, Text(verdict, style=style), attempts, "", Text(message))
        elif not (failed and record.ok and not record.faults):
            good = "yellow" if record.faults else "green"
            table.add_row(
                planned.id,
                Text(record.last.verdict, style=good if record.ok else "bold red"),
                f"{len(record.attempts)}",
                f"{record.last.host_seconds:.1f}",
                Text(record.last.message or of_records([record]).kinds()),
            )
    table.caption = "seconds: how long the host was busy; not a measurement"
    return table


def _tabled(run: RunDirectory) -> dict[str, tuple[str, str, str]]:
    """Verdict, attempts and message by trial, from the table of a run without any records.

    A single record that is missing was removed by a person who wants that trial run again.
    """
    if any(run.trials.glob("*.json")):
        return {}
    try:
        with run.trials_csv.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except FileNotFoundError:
        return {}
    return {
        row["trial"]: (row["verdict"], row["attempts"], row["message"])
        for row in rows
        if row["verdict"] != PENDING
    }


def _story(run: RunDirectory, manifest: Manifest, trial: str, store: Store) -> Iterator[str]:
    """The attempts at a trial and how they ended."""
    record = _record(run, trial)
    yield f"{trial}: {record.last.verdict}"
    yield "  " + " ".join(f"{name}={level}" for name, level in record.factors.items())
    yield "  command: " + " ".join(record.argv)
    for number, attempt in enumerate(record.attempts, start=1):
        yield (
            f"  attempt {number} of {len(record.attempts)}: {attempt.verdict}, "
            f"the host was busy for {attempt.host_seconds:.1f} s"
        )
        if attempt.message:
            yield f"    {attempt.message}"
        if attempt.host_fault:
            yield "    the host or QEMU is to blame, not the guest"
        for one in attempt.complaints:
            yield f"    its kernel complained: {one.kind}: {one.message}"
        if attempt.excerpt:
            found = _decoded(attempt.excerpt, manifest, run, record, store)
            yield from (f"    | {line}" for line in found.text.splitlines())
            if found.note:
                yield f"    ({found.note})"
    for refusal in record.refused:
        yield f"  left out: {refusal}"


def _decoded(
    text: str, manifest: Manifest, run: RunDirectory, record: TrialRecord, store: Store
) -> Decoded:
    experiment = definition_of(manifest, run.manifest).experiment
    return decode_trial(text, manifest, experiment, record.factors, store=store)


def _record(run: RunDirectory, trial: str) -> TrialRecord:

    record = read_record(run, trial)
    if record is None and trial in _tabled(run):
        raise UserError(
            f"the console of {trial} is not part of this run, only its numbers are",
            hint=f"Show them: driver show {shlex.quote(str(run.path))}",
        )
    if record is None:
        raise UserError(
            f"the trial {trial} of {run.name} has not been finished",
            hint=f"Finish the run: driver run --resume {run.name}",
        )
    return record


def _console(run: RunDirectory, trial: str, attempt: int | None) -> list[str]:
    """Everything that the guest of an attempt printed: while it booted, and after it was forked."""
    record = _record(run, trial)
    number = attempt or len(record.attempts)
    if number > len(record.attempts):
        raise UserError(
            f"there is no attempt {number} at {trial}: the record has "
            f"{counted(len(record.attempts), 'attempt')}",
            hint=f"Show all of them: driver logs {run.name} {trial}",
        )
    last = number == len(record.attempts)
    path = run.console(trial, None if last else number)
    boot = record.attempts[number - 1].boot
    return [*(_text(run.consoles / boot) if boot else ()), *_text(path)]


def _text(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise UserError(
            f"there is no {path}: the console logs of this run were not copied with it",
            hint="Copy the folder console/ of the run as well.",
        ) from None


def _lines(shown: list[str], last: int | None) -> list[str]:
    return shown[-last:] if last else shown
