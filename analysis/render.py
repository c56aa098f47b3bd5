# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.render RUN``: execute the notebooks about a run, write HTML and PNG into it.

A notebook is a ``py:percent`` text whose header names the experiment it is about. Its cell tagged
``parameters`` is followed by one that sets ``run_path``.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jinja2 import Environment, FileSystemLoader
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter
from traitlets.config import Config

from analysis.load import ROOT, NoRun, load_run
from analysis.tables import tidied
from driver.errors import UserError

NOTEBOOKS = ROOT / "analysis" / "notebooks"
_TEMPLATES = ROOT / "analysis" / "templates"
_SECONDS_PER_CELL = 120
# The kernel listens on unix sockets instead of TCP ports that anyone on the host could reach.
_PRIVATE = Config({"KernelManager": {"transport": "ipc"}})


class BrokenNotebook(RuntimeError):
    """A notebook raised an exception; the message is its traceback."""


def notebooks_about(experiment: str, folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks whose header names the experiment, by name."""
    return [
        path
        for path in sorted(folder.glob("*.py"))
        if jupytext.read(path).metadata.get("experiment") == experiment
    ]


def execute(notebook: Path, run: Path) -> Any:
    """Run a notebook on a run and return it with its outputs (an ``nbformat`` notebook).

    Raises :class:`BrokenNotebook`.
    """
    content = jupytext.read(notebook)
    places = [
        index
        for index, cell in enumerate(content.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(places) != 1:
        raise BrokenNotebook(f"{notebook.name} needs one cell tagged `parameters`")
    setting = nbformat.v4.new_code_cell(  # type: ignore[no-untyped-call]
        f"run_path = {str(run.resolve())!r}"
    )
    content.cells.insert(places[0] + 1, setting)
    client = NotebookClient(
        content,
        timeout=_SECONDS_PER_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(ROOT)}},
        config=_PRIVATE,
    )
    try:
        return client.execute()
    except CellExecutionError as error:
        raise BrokenNotebook(f"{notebook.name}: {error}") from error


def pictures(notebook: Any) -> Iterator[bytes]:
    """The PNG images among a notebook's outputs, in order."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            picture = output.get("data", {}).get("image/png")
            if picture:
                yield base64.b64decode(picture)


def page(notebook: Any, title: str) -> str:
    """One self-contained HTML page: text, tables and pictures, without the code."""
    exporter = HTMLExporter(  # type: ignore[no-untyped-call]
        template_name="basic", exclude_input=True, exclude_output_prompt=True
    )
    body, _ = exporter.from_notebook_node(notebook)
    environment = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True)
    return environment.get_template("page.html.j2").render(title=title, body=tidied(body))


def render(run: Path) -> list[Path]:
    """Execute every notebook about a run; return the files written into the run's directory."""
    run = run.resolve()
    experiment = load_run(run).manifest.experiment.name
    found = notebooks_about(experiment)
    if not found:
        raise NoRun(f"no notebook in {NOTEBOOKS} is about {experiment}")
    written: list[Path] = []
    for notebook in found:
        executed = execute(notebook, run)
        for number, picture in enumerate(pictures(executed), start=1):
            written.append(run / f"{notebook.stem}-{number}.png")
            written[-1].write_bytes(picture)
        written.append(run / f"{notebook.stem}.html")
        written[-1].write_text(page(executed, f"{notebook.stem}: {run.name}"), encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.render",
        description="Execute the notebooks about a run; write HTML and PNG into it.",
    )
    parser.add_argument("run", type=Path, help="a run's directory, for example results/latest")
    try:
        for path in render(parser.parse_args(arguments).run):
            print(path)
    except (NoRun, BrokenNotebook, UserError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
