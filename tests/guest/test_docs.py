# SPDX-License-Identifier: Apache-2.0
"""Pages of the documentation followed from top to bottom, as a person would, on real kernels.

Blocks marked ``guest`` are run in one shell, in a copy of the project: ``sh`` as it is, ``diff`` by
applying it to the tree it names, ``toml`` by writing the file it names. What a page says is printed
must be printed. See also ``tests/unit/test_docs.py``.

The kernels that the pages take for granted are made first, so that those of the pages begin with
what was compiled for them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.documentation import ROOT, Block, blocks, documents

from driver.artifacts import ImageArtifact, KernelArtifact

SECONDS = 3000
# Always the same commits, hence the same patches, hence a kernel that is compiled once.
_NAMES = {"NAME": "A U Thor", "EMAIL": "author@example.org", "DATE": "2026-01-01T12:00:00Z"}
AUTHOR = {f"GIT_{who}_{what}": text
          for who in ("AUTHOR", "COMMITTER") for what, text in _NAMES.items()}  # fmt: skip
_MARK = "=== block"


def guest_blocks(page: Path) -> list[Block]:
    """Those of the shell; ``test_api.py`` runs what is Python."""
    return [
        block for block in blocks(page) if "guest" in block.words and block.language != "python"
    ]


PAGES = [page for page in documents() if guest_blocks(page)]


def script(parts: list[Block]) -> str:
    """A shell script that follows the blocks and says before each which it is."""
    lines = ["set -e"]
    for number, block in enumerate(parts):
        lines.append(f"echo '{_MARK} {number}'")
        if block.first:
            lines.append(block.first)
        if block.language == "sh":
            lines.append(block.text)
        elif block.language == "diff":
            tree = block.option("tree")
            lines.append(f"git -C {tree} apply - <<'END OF BLOCK'\n{block.text}END OF BLOCK")
        else:
            assert block.file, f"{block}: what is to be done with it?"
            lines.append(f"mkdir -p {Path(block.file).parent}")
            lines.append(f"cat > {block.file} <<'END OF BLOCK'\n{block.text}END OF BLOCK")
    return "\n".join(lines)


@pytest.fixture(scope="module")
def kernels(kernel: Callable[[str], KernelArtifact], image: ImageArtifact) -> None:
    for series in ("none", "dax-pt-share"):
        kernel(series)


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A copy of the project as the installation leaves it, and without a trace."""
    for folder in ("experiments", "guest-images", "kernel-patches"):
        shutil.copytree(ROOT / folder, tmp_path / folder, symlinks=True)
    binaries = tmp_path / ".venv/bin"
    binaries.mkdir(parents=True)
    (binaries / "activate").write_text(f'PATH="{binaries}:$PATH"\n')
    (binaries / "driver").write_text(f'#!/bin/sh\nexec {sys.executable} -m driver.cli.main "$@"\n')
    (binaries / "driver").chmod(0o755)
    yield tmp_path
    # A kernel tree has 87,000 files, which takes Python three times as long.
    subprocess.run(["rm", "-rf", tmp_path], check=True)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_page_can_be_followed(page: Path, clone: Path) -> None:
    parts = guest_blocks(page)
    done = subprocess.run(
        ["bash", "-c", script(parts)],
        cwd=clone,
        env={
            **{name: value for name, value in os.environ.items() if name != "DRIVER_PROJECT"},
            "PATH": f"{clone / '.venv/bin'}:{os.environ['PATH']}",
            "DRIVER_CONFIG": "",
            **AUTHOR,
        },
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    printed = re.split(rf"^{_MARK} \d+\n", done.stdout, flags=re.M)[1:]
    last = parts[len(printed) - 1]
    assert done.returncode == 0, f"{last}: {last.text}\n{done.stdout[-2000:]}{done.stderr[-3000:]}"
    for block, output in zip(parts, printed, strict=True):
        for line in block.output:
            assert line in output, f"{block}: {output}"
