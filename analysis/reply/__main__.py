# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.reply [RUN ...]``: write ``analysis/reply.md``.

Without runs it is made from the samples that come with the code; a run that is given replaces the
sample of its experiment. With ``--newest`` it is made from the newest runs of this checkout, and
written next to them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.illustrate import PICTURES
from analysis.load import RESULTS, ROOT, SAMPLES, NoRun, find_run, load_run
from analysis.refusal import refuse
from analysis.reply.audited import audited
from analysis.reply.breakeven import break_even
from analysis.reply.changing import changing
from analysis.reply.finding import finding
from analysis.reply.leaving import leaving
from analysis.reply.locking import locking
from analysis.reply.ordinary import ordinary
from analysis.reply.reach import alignment, scale
from analysis.reply.saving import filling, tables
from analysis.reply.verdicts import command, verdicts
from analysis.reply.walking import walking
from analysis.reply.wording import FILTERS, count, signed
from driver.errors import UserError
from driver.intervals import range_coverage

TEMPLATES = ROOT / "analysis" / "templates"
REPLY = ROOT / "analysis" / "reply.md"

# In the order of the thread.
EXPERIMENTS = (
    "pagetable-footprint",
    "fault-saving",
    "lookup-cost",
    "unshare-cost",
    "five-cases",
    "page-table-audit",
    "disabled-cost",
    "contention",
    "reverse-unmap",
    "alignment",
    "scale",
    "walk-cost",
)


# They need QEMU 10, or drgn. Where nobody has made a run, the reply has that of the sample.
NEEDS_MORE = ("walk-cost", "page-table-audit")


def gather(given: Sequence[Path] = (), results: Path = SAMPLES) -> dict[str, Path]:
    """The directory of a run of each experiment: those given, else the newest in ``results``.

    Raises :class:`NoRun` and what :func:`analysis.load.load_run` does.
    """
    places = {load_run(path).manifest.experiment.name: path.resolve() for path in given}
    strangers = sorted(places.keys() - set(EXPERIMENTS))
    if strangers:
        raise NoRun(
            f"the reply says nothing about {', '.join(strangers)}",
            hint=f"Name runs of: {', '.join(EXPERIMENTS)}.",
        )
    return {
        name: places.get(name)
        or find_run(name, results, SAMPLES if name in NEEDS_MORE else results)
        for name in EXPERIMENTS
    }


def compose(
    places: Mapping[str, Path], folder: Path = REPLY.parent, pictures: Path = PICTURES
) -> str:
    """The reply, as Markdown, with links for a file in ``folder`` and to its ``pictures``."""
    runs = {name: load_run(place, experiment=name) for name, place in places.items()}
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(count=count, signed=signed, range_coverage=range_coverage)
    environment.filters["link"] = lambda place: os.path.relpath(place, folder)
    saved, filled = tables(runs["pagetable-footprint"]), filling(runs["fault-saving"])
    left, changed = leaving(runs["unshare-cost"]), changing(runs["reverse-unmap"])
    return environment.get_template("reply.md.j2").render(
        root=ROOT,
        places=places,
        pictures=pictures,
        runs=runs,
        commands={name: command(run) for name, run in runs.items()},
        tables=saved,
        filling=filled,
        finding=finding(runs["lookup-cost"]),
        leaving=left,
        ordinary=ordinary(runs["disabled-cost"]),
        locking=locking(runs["contention"]),
        changing=changed,
        even=break_even(saved, filled, left, changed),
        alignment=alignment(runs["alignment"]),
        scale=scale(runs["scale"]),
        audited=audited(places["page-table-audit"]),
        walking=walking(runs["walk-cost"], places["walk-cost"]),
        verdicts=[verdict for run in runs.values() for verdict in verdicts(run)],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.reply", description="Write the answer to the 2019 thread."
    )
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN", help="instead of samples")
    parser.add_argument(
        "--newest", action="store_true", help="the newest runs instead, into results/reply.md"
    )
    chosen = parser.parse_args(arguments)
    source, output, pictures = SAMPLES, REPLY, PICTURES
    if chosen.newest:
        source, output, pictures = RESULTS, RESULTS / REPLY.name, RESULTS / "notebooks"
    try:
        text = compose(gather(chosen.runs, source), output.parent, pictures)
    except (UserError, OSError) as error:
        return refuse(error)
    output.write_text(text, encoding="utf-8")
    print(output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
