# SPDX-License-Identifier: Apache-2.0
"""``python -m thirdparty``: the kernel's own selftests, and stress-ng."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from mutation.kernel import patched

from driver.errors import DriverError
from driver.kernel import build_kernel
from driver.kernel import series as all_series
from thirdparty import selftests, stressng
from thirdparty.guests import Workshop, run

SERIES = "dax-pt-share"


def compare(options: argparse.Namespace, folder: Path) -> int:
    """Run all selftests on both kernels; 1 if one is worse with the series."""
    shop = Workshop.open()
    base = all_series.load(shop.project, SERIES).base
    tree, entries = selftests.build(
        shop.store, patched(shop.store, shop.project, SERIES, base, shop.reporter)
    )
    arms = {}
    for series, on in (("none", False), (SERIES, True)):
        kernel = build_kernel(shop.store, shop.project, series=series, reporter=shop.reporter)
        arms[series] = (shop.template(kernel, entries, folder), on)
    found = 0
    total = {"cases": 0, "not ok on both": 0}

    def cases(series: str, test: selftests.Selftest, turn: int) -> dict[str, str]:
        template, on = arms[series]
        where = folder / f"{test.program}-{series}-{turn}"
        ending = run(template, test.script, where, on=on, seconds=options.seconds)
        (folder / f"{test.name.replace('/', '_')}.{series}.{turn}.txt").write_text(ending.output)
        return selftests.cases(ending)

    for test in selftests.listed(tree):
        if options.names and test.program not in options.names:
            continue
        if f"{selftests.FOLDER}/{test.program}" not in entries:
            print(f"{test.name:40} could not be built", flush=True)
            continue
        old, new = cases("none", test, 0), cases(SERIES, test, 0)
        worse = selftests.worse(old, new)
        for turn in (1, 2):
            if worse:
                again = selftests.worse(cases("none", test, turn), cases(SERIES, test, turn))
                worse = [name for name in worse if name in again]
        both = [name for name in old if old[name] == new.get(name) and old[name] == "not ok"]
        total["cases"] += len(old)
        total["not ok on both"] += len(both)
        counts = ", ".join(
            f"{list(side.values()).count('ok')}/{len(side)} ok" for side in (old, new)
        )
        overall = f"{old['(the program)']} | {new['(the program)']}"
        print(f"{test.name:40} {counts:28} {overall:30} {'WORSE' if worse else ''}", flush=True)
        for name in worse:
            print(f"    {name}: {old[name]} | {new.get(name, 'absent')}")
        found += len(worse)
    print(f"{total}; {found} worse with the series")
    return 1 if found else 0


def stress(options: argparse.Namespace, folder: Path) -> int:
    """Run the stressors with the switch on; 1 if one fails, if the kernel complains, or if no
    table was shared meanwhile."""
    shop = Workshop.open()
    kernel = build_kernel(shop.store, shop.project, series=SERIES, reporter=shop.reporter)
    template = shop.template(kernel, stressng.files(shop.store), folder, programs=True)
    bad = 0
    for name in options.names or stressng.STRESSORS:
        script = stressng.script(name, options.seconds)
        limit = options.seconds * 4 + 300
        ending = run(template, script, folder / name, on=True, seconds=limit)
        (folder / f"{name}.txt").write_text(ending.output)
        count = stressng.operations(ending.output, name)
        tables = stressng.tables(ending.output)
        trouble = ending.trouble or (f"status {ending.status}" if ending.status else "")
        if not trouble and not tables.get("attach"):
            trouble = "nothing was shared"
        bad += bool(trouble)
        print(f"{name:12} {trouble or 'ok':24} {count:>10} {tables}", flush=True)
    return 1 if bad else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m thirdparty", description=__doc__)
    parser.add_argument("what", choices=["kselftests", "stress-ng"])
    parser.add_argument("names", nargs="*", help="programs or stressors (all)")
    parser.add_argument("--seconds", type=int, help="for a program (900), or of a stressor (30)")
    parser.add_argument("--keep", type=Path, help="folder for consoles and outputs (none)")
    options = parser.parse_args()
    selected = options.what == "kselftests"
    options.seconds = options.seconds or (900 if selected else 30)
    try:
        with tempfile.TemporaryDirectory(prefix="thirdparty-") as folder:
            keep = options.keep or Path(folder)
            keep.mkdir(parents=True, exist_ok=True)
            return (compare if selected else stress)(options, keep)
    except DriverError as error:
        print("\n".join(filter(None, (f"error: {error.message}", error.excerpt, error.hint))))
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
