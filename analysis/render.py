# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis.render [RUN]``: execute the notebooks about a run, write HTML and PNG.

A notebook is a ``py:percent`` text whose header names the experiment, or the experiments, it is
about. Its cell tagged ``parameters`` is followed by one that sets ``run_path``; runs of further
experiments the notebook finds by itself.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from jinja2 import Environment, FileSystemLoader
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbconvert import HTMLExporter

from analysis.load import RESULTS, ROOT, NoRun, find_run, load_run
from analysis.refusal import refuse
from analysis.tables import tidied
from driver.errors import UserError
from driver.text import counted

NOTEBOOKS = ROOT / "analysis" / "notebooks"
_TEMPLATES = ROOT / "analysis" / "templates"
_SECONDS_PER_CELL = 120


class BrokenNotebook(UserError):
    """A notebook raised an exception; the excerpt is its traceback."""


def notebooks_about(experiment: str, folder: Path = NOTEBOOKS) -> list[Path]:
    """The notebooks whose header names the experiment, by name."""
    return [path for path in sorted(folder.glob("*.py")) if experiment in experiments_of(path)]


def experiments_of(notebook: Path) -> list[str]:
    """The experiments that the header of a notebook names."""
    named = jupytext.read(notebook).metadata.get("experiment", [])
    return [named] if isinstance(named, str) else list(named)


@contextmanager
def kernel() -> Iterator[Any]:
    """A Python process that can execute one notebook after the other: starting it takes seconds.

    It listens on unix sockets instead of TCP ports that anyone on the host could reach.
    """
    manager = KernelManager(kernel_name="python3", transport="ipc")
    manager.start_kernel(cwd=str(ROOT))
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def execute(notebook: Path, run: Path, manager: Any = None) -> Any:
    """Run a notebook on a run and return it with its outputs (an ``nbformat`` notebook).

    In the process of ``manager``, from an empty namespace, or in one of its own. Raises
    :class:`BrokenNotebook`.
    """
    if manager is None:
        with kernel() as manager_of_its_own:
            return execute(notebook, run, manager_of_its_own)
    content = jupytext.read(notebook)
    places = [
        index
        for index, cell in enumerate(content.cells)
        if "parameters" in cell.metadata.get("tags", [])
    ]
    if len(places) != 1:
        raise BrokenNotebook(
            f"{notebook} has {counted(len(places), 'cell')} with the tag `parameters`, not one",
            hint='Begin the cell with: # %% tags=["parameters"]',
        )
    for place, source in (
        (places[0] + 1, f"run_path = {str(run.resolve())!r}"),
        (0, "%reset -f"),
    ):
        setting = nbformat.v4.new_code_cell(source)  # type: ignore[no-untyped-call]
        content.cells.insert(place, setting)
    client = NotebookClient(content, timeout=_SECONDS_PER_CELL, km=manager)
    try:
        return client.execute()
    except CellExecutionError as error:
        raise BrokenNotebook(
            f"cannot execute {notebook} on {run}: {error.ename}: {error.evalue}",
            excerpt=str(error),
            hint="Correct the notebook, or name a run that has what it reads.",
        ) from error


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
        raise NoRun(
            f"no notebook in {NOTEBOOKS} is about {experiment}",
            hint="Write one, as docs/how-to/add-a-notebook.md describes.",
        )
    written: list[Path] = []
    with kernel() as manager:
        for notebook in found:
            title = f"{notebook.stem}: {run.name}"
            written += _write(notebook, execute(notebook, run, manager), run, title)
    return written


def render_all(into: Path) -> list[Path]:
    """Execute every notebook once, on the newest runs; return the files written."""
    into.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with kernel() as manager:
        for notebook in sorted(NOTEBOOKS.glob("*.py")):
            run = find_run(experiments_of(notebook)[0])
            written += _write(notebook, execute(notebook, run, manager), into, notebook.stem)
    return written


def _write(notebook: Path, executed: Any, into: Path, title: str) -> list[Path]:
    written = []
    for number, picture in enumerate(pictures(executed), start=1):
        written.append(into / f"{notebook.stem}-{number}.png")
        written[-1].write_bytes(picture)
    written.append(into / f"{notebook.stem}.html")
    written[-1].write_text(page(executed, title), encoding="utf-8")
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m analysis.render",
        description="Execute the notebooks about a run; write HTML and PNG into it.",
    )
    parser.add_argument(
        "run",
        type=Path,
        nargs="?",
        help="a run's directory, for example results/latest; without one, every notebook is "
        "executed on the newest runs, into results/notebooks",
    )
    try:
        run = parser.parse_args(arguments).run
        for path in render(run) if run else render_all(RESULTS / "notebooks"):
            print(path)
    except (UserError, OSError) as error:
        return refuse(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
