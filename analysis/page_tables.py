# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.page_tables``: draw the five cases of the 2019 proposal from real memory.

What is drawn was read from guests of the experiment page-table-audit while they stood still.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from analysis.illustrate import PICTURES
from analysis.load import SAMPLES, NoRun, find_run
from driver.memory.picture import picture

EXPERIMENT = "page-table-audit"
PICTURE = PICTURES / "page-tables.svg"
# Of each case: its title, how the file is mapped, and the phase at whose end it is seen.
CASES = (
    ("1. The first process makes a table", "shared", "new"),
    ("2. The second process shares it", "shared", "share"),
    ("3. The second process has unmapped", "shared", "unmap-shared"),
    ("4. The first process has unmapped, too", "shared", "unmap-last"),
    ("5. The second writes to a private mapping", "private", "private-write"),
)


def five_cases(run: Path) -> str:
    """The picture of a run of page-table-audit, as SVG: 2 MiB entries, sharing on."""
    table = pd.read_csv(run / "page_tables.csv", dtype=str, keep_default_na=False)
    table = table[(table["sharing"] == "on") & (table["entry"] == "2M")]
    moments = []
    for title, mapping, phase in CASES:
        rows = table[(table["mapping"] == mapping) & (table["phase"] == phase)]
        moments.append((title, rows.astype({"present": int, "leaves": int, "sharers": int})))
    return picture(moments)


def main() -> int:
    try:
        run = find_run(EXPERIMENT, SAMPLES, SAMPLES)
    except NoRun as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    PICTURE.write_text(five_cases(run), encoding="utf-8")
    print(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
