# SPDX-License-Identifier: Apache-2.0
"""What is loaded before anything is done: modules, which a busy host cannot change, not seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from helpers.documentation import ROOT

from driver import api
from driver.cli import views

# Each of them takes a tenth of a second and more.
HEAVY = {
    "IPython", "asyncio", "cryptography", "jinja2", "matplotlib", "numpy", "pandas", "paramiko",
    "pexpect", "pydantic", "qemu", "rich", "scipy", "urllib3",
}  # fmt: skip
_HELP = """
import contextlib, io
from driver.cli.main import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
    main({arguments})
"""


def loaded(program: str) -> set[str]:
    """The modules that a program has loaded when it ends, but for those of the interpreter."""
    report = (
        "import sys; before = set(sys.modules)\n{}\n"
        "import json; print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", report.format(program)],
        cwd=ROOT,
        env={**os.environ, "DRIVER_CONFIG": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout))


def test_the_api_is_loaded_as_it_is_used() -> None:
    modules = loaded("import driver.api")
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    assert len([name for name in modules if name.startswith("driver.")]) <= 2
    used = loaded("from driver import api; api.Workspace, api.Machine")
    assert "driver.guest.machine" in used
    assert "pandas" not in used, "a guest needs no tables"


def test_help_waits_for_nothing() -> None:
    modules = loaded(_HELP.format(arguments=["--help"]))
    assert {name.partition(".")[0] for name in modules} & HEAVY == set()
    # 34 of ours and 158 in all when this was written; without loading on demand 54 and 279.
    assert len([name for name in modules if name.startswith("driver")]) <= 48
    assert len(modules) <= 220


@pytest.mark.parametrize(
    "arguments", [["run", "experiment", "--help"], ["patch", "--help"], ["cache"]], ids=" ".join
)
def test_nor_does_the_help_of_a_command(arguments: list[str]) -> None:
    modules = loaded(_HELP.format(arguments=arguments))
    # typer checks the values of a command's options with pydantic.
    assert {name.partition(".")[0] for name in modules} & HEAVY <= {"pydantic"}
    assert len([name for name in modules if name.startswith("driver")]) <= 48


@pytest.mark.parametrize("package", [api, views], ids=lambda package: package.__name__)
def test_everything_exported_is_there(package: object) -> None:
    """The stub is written by hand: a name in it that moved would fail when it is first used."""
    names = [name for name in dir(package) if not name.startswith("_")]
    assert len(names) > 10
    for name in names:
        assert getattr(package, name).__class__.__name__ != "module", name
