# SPDX-License-Identifier: Apache-2.0
"""``python -m mutation``: take every safeguard away, one at a time, and see which test notices."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from programs import DEBUG_MACHINE, MACHINE, image_with_programs, provision

from driver.errors import DriverError
from driver.guest.template import Templates
from driver.image import build_image
from driver.kernel import series as all_series
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store
from mutation import kernel
from mutation.mutants import Mutant, choose, load
from mutation.trial import Patience, Verdict, examine

ROOT = Path(__file__).resolve().parents[3]


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mutation", description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants (all)")
    parser.add_argument("--list", action="store_true", help="name them, run none")
    parser.add_argument(
        "--series", default="dax-pt-share", help="folder of kernel-patches/ (dax-pt-share)"
    )
    parser.add_argument("--base", help="version of Linux (the newest that the series is for)")
    parser.add_argument("--variant", help="debug: run those that only lockdep and its like notice")
    parser.add_argument("--quick", action="store_true", help="only the cases expected to fail")
    parser.add_argument("--no-control", action="store_true", help="do not try the series itself")
    parser.add_argument("--guests", type=int, default=1, help="at once (1)")
    parser.add_argument("--case-seconds", type=int, default=90, help="a case may take (90)")
    parser.add_argument("--keep", type=Path, help="folder for consoles and outputs (none)")
    return parser


def row(verdict: Verdict, mutant: Mutant | None) -> str:
    caught = verdict.caught_by or ("survived, explained" if explained(mutant) else "SURVIVED")
    if mutant is None:
        caught = f"FAILS {verdict.caught_by}" if verdict.caught_by else "passes everything"
    return f"{verdict.name:28} {caught:48} {verdict.seconds:6.0f}"


def explained(mutant: Mutant | None) -> bool:
    return mutant is not None and mutant.survives is not None


def run(options: argparse.Namespace, folder: Path) -> int:
    reporter = PlainReporter()
    store, project = Store(notify=reporter.note), Project.find(ROOT)
    base = options.base or all_series.load(project, options.series).base
    mutants = load(base)
    chosen = [
        mutant
        for mutant in choose(mutants, options.names)
        if options.names or mutant.debug_only == (options.variant == "debug")
    ]
    built = kernel.build(
        store, project, options.series, base, mutants, variant=options.variant, reporter=reporter
    )
    image = image_with_programs(store, build_image(store, project, "dax", reporter), folder)
    machine = DEBUG_MACHINE if options.variant == "debug" else MACHINE
    template = Templates(store, notify=reporter.note).get(
        machine, built, image, provision(machine), boot_seconds=600
    )
    everyone: list[Mutant | None] = [*([] if options.no_control else [None]), *chosen]
    look = partial(
        examine,
        template,
        folder=folder,
        patience=Patience(case=options.case_seconds),
        thorough=not options.quick,
    )
    bad = 0
    print(f"{'mutant':28} {'caught by':48} seconds")
    with ThreadPoolExecutor(options.guests) as pool:
        for mutant, verdict in zip(everyone, pool.map(look, everyone), strict=True):
            print(row(verdict, mutant), flush=True)
            (folder / f"{verdict.name}.txt").write_text(verdict.output, encoding="utf-8")
            bad += (verdict.caught_by is None) != (mutant is None) and not explained(mutant)
    return 1 if bad else 0


def main() -> int:
    options = arguments().parse_args()
    if options.list:
        project = Project.find(ROOT)
        for mutant in load(options.base or all_series.load(project, options.series).base):
            print(f"{mutant.number:3} {mutant.kind:10} {mutant.name:28} {mutant.guards}")
        return 0
    try:
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            keep = options.keep or Path(folder)
            keep.mkdir(parents=True, exist_ok=True)
            return run(options, keep)
    except DriverError as error:
        print("\n".join(filter(None, (f"error: {error.message}", error.excerpt, error.hint))))
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
