# SPDX-License-Identifier: Apache-2.0
"""Common mistakes: each is made, and prints what docs/troubleshooting.md shows.

A comment before a block prepares the mistake in a copy of the project: ``prepare`` is a line of
shell whose exported variables stay, ``in`` the directory in which the command is typed.
After a deliberate change of messages, ``make docs`` regenerates the page.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
from helpers.documentation import ROOT

from driver.cli.main import main
from driver.guest.template_recipe import qemu_version

# A selection, so that a new experiment does not change the lists in messages.
COPIED = (
    "experiments/five-cases",
    "experiments/pagetable-footprint",
    "experiments/smaps-page-tables",
    "experiments/workloads",
    "guest-images/dax",
    "guest-images/programs",
    "kernel-patches/dax-pt-share",
    "kernel-patches/smaps-page-tables",
)
PAGE = ROOT / "docs/troubleshooting.md"
_MISTAKE = re.compile(
    r"(?:<!-- (?P<how>in|prepare) (?P<what>.*?) -->\n)?"
    r"```sh mistake\n(?P<command>.*?)\n```\n"
    r"(?:\n```text\n(?P<printed>.*?)\n```\n)?",
    re.S,
)


@dataclass(frozen=True)
class Mistake:
    """A command, what must be done before it goes wrong, and what the page says is printed."""

    command: str
    how: str
    what: str
    printed: str


def mistakes() -> list[Mistake]:
    found = _MISTAKE.finditer(PAGE.read_text(encoding="utf-8"))
    return [
        Mistake(m["command"], m["how"] or "", m["what"] or "", m["printed"] or "") for m in found
    ]


@contextlib.contextmanager
def project_copy() -> Iterator[Path]:
    """A copy of the project next to a small fake kernel; yields the directory of both."""
    with tempfile.TemporaryDirectory(prefix="mistakes-") as folder:
        home = Path(folder).resolve()
        project = home / "dax-pagetables"
        for name in COPIED:
            shutil.copytree(ROOT / name, project / name, symlinks=True)
        (project / "kernel-patches/default").symlink_to("dax-pt-share")
        (project / "docs").mkdir()
        shutil.copytree(ROOT / "tests/fixtures/fake-kernel", home / "linux")
        (home / "config.toml").touch()
        fragments = home / "fragments"
        fragments.mkdir()
        (fragments / "machine.config").write_text("CONFIG_SMP=y\nCONFIG_DAX=y\n")
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DRIVER_")},
            "DRIVER_CACHE": str(home / "cache"),
            "DRIVER_CONFIG": str(home / "config.toml"),
            "HOME": str(home),
            "TERM": "dumb",
        }
        with (
            mock.patch("driver.kernel.kconfig_fragment.FOLDER", fragments),
            mock.patch.dict(os.environ, environment, clear=True),
            contextlib.chdir(project),
        ):
            qemu_version.cache_clear()  # a reader's driver has not asked before
            yield home


def make(mistake: Mistake) -> str:
    """Make it, and return everything that is printed, with the reader's own paths."""
    with project_copy() as home:
        if mistake.how == "prepare":
            script = f"{mistake.what}\n{sys.executable} -c 'import os; print(dict(os.environ))'"
            printed = subprocess.run(
                ["bash", "-ec", script.replace("export PATH=", "export THE_PATH=")],
                capture_output=True, text=True, check=True,
            ).stdout  # fmt: skip
            changed = eval(printed)
            os.environ.update({**changed, "PATH": changed.get("THE_PATH", os.environ["PATH"])})
        if mistake.how == "in":
            os.chdir(mistake.what)
        words = shlex.split(mistake.command)
        assert words.pop(0) == "driver"
        output = io.StringIO()
        with (
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(output),
            pytest.raises(SystemExit) as left,
        ):
            main(words)
        assert left.value.code in (2, 3)
        printed = output.getvalue().strip().replace(str(home), "~")
        # The name of a build directory depends on where the tree is.
        return re.sub(r"\btree-[0-9a-f]{12}\b", "tree-1225ae475e6e", printed)


@pytest.mark.parametrize("mistake", mistakes(), ids=lambda mistake: mistake.command)
def test_prints_what_the_page_shows(mistake: Mistake) -> None:
    printed = make(mistake)
    assert printed == mistake.printed
    assert "Traceback" not in printed
    assert printed.splitlines()[-1].startswith(("error:", "hint:", "log:"))


def test_there_are_twenty_of_them() -> None:
    assert len(mistakes()) >= 20


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    for found, each in zip(list(_MISTAKE.finditer(text)), mistakes(), strict=True):
        block = found[0].partition("\n\n```text\n")[0].rstrip("\n")
        text = text.replace(found[0], f"{block}\n\n```text\n{make(each)}\n```\n")
    PAGE.write_text(text, encoding="utf-8")
