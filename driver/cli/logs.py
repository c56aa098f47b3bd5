# SPDX-License-Identifier: Apache-2.0
"""``driver logs``: what the guests of a run said, and how each try at a trial ended."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from driver.cli import complete, runs
from driver.errors import UserError
from driver.suggestion import closest

if TYPE_CHECKING:
    from rich.table import Table

    from driver.experiment.definition import Experiment
    from driver.results.directory import RunDirectory
    from driver.results.manifest import ManifestV1
    from driver.results.record import TrialRecord

# So many candidates fit a message.
_MOST_NAMES = 6
_SHORTEST_TABLE = ("trial", "verdict", "attempts", "seconds", "message")


def logs(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="A run; `latest` is the newest.", autocompletion=complete.runs
        ),
    ],
    trial: Annotated[
        str | None,
        typer.Argument(
            metavar="TRIAL",
            help="A trial of it; the beginning of its name will do if unique.",
            autocompletion=complete.trials,
        ),
    ] = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Only trials without a result.")] = False,
    lines: Annotated[
        int | None,
        typer.Option(
            "--lines", "-n", metavar="N", min=1, help="Only so many last lines of the console."
        ),
    ] = None,
    console_only: Annotated[
        bool,
        typer.Option("--console", help="Only the console, word for word; no source lines."),
    ] = False,
) -> None:
    """Show the trials of a run, or what the guest of one said.

    With TRIAL, its attempts and its guest's console. Stack traces get source lines from the kernel
    that printed them, if it was built with debug information. The console is that of the last
    attempt.
    """
    from driver.experiment.load import parse  # noqa: PLC0415  (pandas: half a second)
    from driver.results.manifest import read_manifest  # noqa: PLC0415

    run = runs.find(name)
    manifest = read_manifest(run)
    if trial is None:
        if lines is not None or console_only:
            raise typer.BadParameter("--lines and --console need the name of a trial")
        runs.console().print(_overview(run, manifest, failed))
        return
    if failed:
        raise typer.BadParameter("--failed lists trials; leave TRIAL out")
    chosen = match(trial, [planned.id for planned in manifest.plan])
    if console_only:
        typer.echo(_console(run, chosen, lines))
        return
    text = manifest.experiment.text
    experiment = parse(manifest.experiment.name, run.manifest, text).experiment
    for line in _story(run, manifest, experiment, chosen, lines):
        typer.echo(line)


def match(given: str, names: Sequence[str]) -> str:
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
        shown = ", ".join(found[:_MOST_NAMES])
        more = f" and {len(found) - _MOST_NAMES} more" if len(found) > _MOST_NAMES else ""
        raise UserError(
            f"{len(found)} trials begin with {given!r}",
            hint=f"Give more of the name: {shown}{more}.",
        )
    close = closest(given, names, alike=0.4, most=3)
    inside = [name for name in names if given in name][:_MOST_NAMES]
    hint = f"Did you mean {' or '.join(inside or close)}?" if inside or close else None
    raise UserError(
        f"the run has no trial called {given!r}",
        hint=hint or "`driver logs RUN` lists its trials.",
    )


def _overview(run: RunDirectory, manifest: ManifestV1, failed: bool) -> Table:
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from driver.results.record import read_record  # noqa: PLC0415
    from driver.results.schema import OK  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for heading in _SHORTEST_TABLE:
        right = heading in ("attempts", "seconds")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    table.columns[0].no_wrap = True
    told = _tabled(run)
    for planned in manifest.plan:
        record = read_record(run, planned.id)
        if record is None:
            verdict, attempts, message = told.get(planned.id, ("not run", "", ""))
            if not (failed and verdict == OK):
                style = "green" if verdict == OK else "yellow"
                table.add_row(planned.id, Text(verdict, style=style), attempts, "", Text(message))
        elif not (failed and record.ok):
            table.add_row(
                planned.id,
                Text(record.last.verdict, style="green" if record.ok else "bold red"),
                f"{len(record.attempts)}",
                f"{record.last.host_seconds:.1f}",
                Text(record.last.message),
            )
    table.caption = "seconds: how long the host was busy, no measurement"
    table.caption_justify = "left"
    return table


def _tabled(run: RunDirectory) -> dict[str, tuple[str, str, str]]:
    """Verdict, attempts and message by trial, from the table of a run without any records.

    A single record that is missing was removed by somebody who wants that trial run again.
    """
    from driver.results.writer import PENDING  # noqa: PLC0415

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


def _story(
    run: RunDirectory,
    manifest: ManifestV1,
    experiment: Experiment,
    trial: str,
    lines: int | None,
) -> Iterator[str]:
    from driver.cli.decoding import decode_trial  # noqa: PLC0415

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
        if attempt.excerpt:
            found = decode_trial(attempt.excerpt, manifest, experiment, record.factors)
            yield from (f"    | {line}" for line in found.text.splitlines())
            if found.note:
                yield f"    ({found.note})"
    for refusal in record.refused:
        yield f"  left out: {refusal}"
    last = f"attempt {len(record.attempts)}" if len(record.attempts) > 1 else "the guest"
    yield f"console of {last}" + (f", its last {lines} lines:" if lines else ":")
    yield decode_trial(_console(run, trial, lines), manifest, experiment, record.factors).text


def _record(run: RunDirectory, trial: str) -> TrialRecord:
    from driver.results.record import read_record  # noqa: PLC0415

    record = read_record(run, trial)
    if record is None and trial in _tabled(run):
        raise UserError(
            f"what the guest of {trial} said is not with this run, only its numbers are",
            hint=f"Look at those: driver show {run.path}",
        )
    if record is None:
        raise UserError(
            f"the trial {trial} has not been finished",
            hint=f"Finish the run: driver run --resume {run.name}",
        )
    return record


def _console(run: RunDirectory, trial: str, lines: int | None) -> str:
    path = run.consoles / f"{trial}.log"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        _record(run, trial)  # explains it, if the trial was not run
        raise UserError(
            f"there is no {path}", hint="The console logs of this run were left behind."
        ) from None
    shown = text.splitlines()
    return "\n".join(shown[-lines:] if lines else shown)


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("logs")(logs)
