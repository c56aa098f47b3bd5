# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.illustrate``: make the pictures of the reply from the samples.

A picture cannot be compared byte by byte across machines, so what each was made from is recorded
next to them: the notebook's digest, and the names of the runs.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import jupytext

from analysis.load import ROOT, SAMPLES, find_run
from analysis.refusal import refuse
from analysis.render import NOTEBOOKS, execute, experiments_of, kernel, pictures
from driver.errors import UserError

PICTURES = ROOT / "analysis" / "pictures"
ORIGINS = "made-from.json"


class Origin(TypedDict):
    """What the pictures of one notebook are made from."""

    notebook: str
    runs: list[str]


def shown() -> list[Path]:
    """The notebooks whose pictures the reply shows: all but those whose header says otherwise."""
    found = sorted(NOTEBOOKS.glob("*.py"))
    return [notebook for notebook in found if jupytext.read(notebook).metadata.get("reply", True)]


def origins() -> dict[str, Origin]:
    """What pictures that are made now are made from, by name of the notebook.

    Raises :class:`NoRun`.
    """
    return {
        notebook.stem: Origin(
            notebook=hashlib.sha256(notebook.read_bytes()).hexdigest(),
            runs=[find_run(name, SAMPLES, SAMPLES).name for name in experiments_of(notebook)],
        )
        for notebook in shown()
    }


def illustrate(into: Path = PICTURES) -> list[Path]:
    """Execute the notebooks on the samples and keep their pictures; returns the files written.

    Raises :class:`BrokenNotebook` and :class:`NoRun`.
    """
    into.mkdir(parents=True, exist_ok=True)
    for older in into.glob("*.png"):
        older.unlink()
    written = []
    with kernel() as manager:
        for notebook in shown():
            run = find_run(experiments_of(notebook)[0], SAMPLES, SAMPLES)
            executed = execute(notebook, run, manager)
            for number, picture in enumerate(pictures(executed), start=1):
                written.append(into / f"{notebook.stem}-{number}.png")
                written[-1].write_bytes(picture)
    written.append(into / ORIGINS)
    written[-1].write_text(json.dumps(origins(), indent=1) + "\n", encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    if sys.argv[1:] if arguments is None else arguments:
        print("usage: python -m analysis.illustrate  (it takes no arguments)", file=sys.stderr)
        return 2
    try:
        for path in illustrate():
            print(path)
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
