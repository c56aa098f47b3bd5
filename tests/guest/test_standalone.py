# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line as a person pastes it: without the driver, and without harm to its files."""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pexpect
import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.agent import AgentChannel
from driver.guest.job import Job
from driver.guest.machine import Accel, Machine
from driver.guest.template import Templates
from driver.store import Store, tree_digest

SMALL = Machine(memory_mib=512, vcpus=1, nvdimm_mib=512)
PROVISION = Job(argv=["provision-dax", "data:64"], timeout=180)


def soon(seconds: float = 120) -> Deadline:
    return Deadline.after(seconds, "the test")


@contextmanager
def pasted(line: str, directory: Path) -> Iterator[tuple[pexpect.spawn[str], Path]]:
    """A terminal in which somebody has pasted the line, and the directory that it has printed."""
    terminal = pexpect.spawn(
        "sh",
        ["-c", line],
        cwd=str(directory),
        env={**os.environ, "TMPDIR": str(directory)},
        encoding="utf-8",
        codec_errors="replace",
        timeout=120,
    )
    try:
        terminal.expect(r"^(/\S+)\r\n")
        assert isinstance(terminal.match, re.Match)
        yield terminal, Path(terminal.match[1])
    finally:
        terminal.close(force=True)


def connect(path: Path, deadline: Deadline) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    while True:
        try:
            connected.connect(str(path))
        except OSError:
            deadline.check()
            time.sleep(0.1)
        else:
            return connected


@pytest.mark.parametrize("accel", ["tcg", "icount"])
def test_the_line_of_a_template_boots_its_machine(
    accel: Accel,
    store: Store,
    kernel: Callable[[str], KernelArtifact],
    image: ImageArtifact,
    tmp_path: Path,
) -> None:
    template = Templates(store).get(replace(SMALL, accel=accel), kernel("none"), image, PROVISION)
    before = tree_digest(template.path)
    with pasted(template.standalone_command(), tmp_path) as (terminal, folder):
        terminal.expect("Linux version 6")
        with AgentChannel(connect(folder / "agent", soon())) as agent:
            assert agent.wait_ready(soon()) == template.facts["release"]
            # The NVDIMM is as provisioning left it, and this guest's own from now on.
            mount = Job(argv=["provision-dax", "--mount-only", "data:64"])
            assert agent.run(mount, soon()).status == 0
            write = Job(argv=["sh", "-c", "echo scribble >/mnt/dax/data && sync"])
            assert agent.run(write, soon()).status == 0
        terminal.send("\x01x")  # the console is shared with a monitor, which Ctrl-A X ends
        terminal.expect(pexpect.EOF)
        assert "Run /init as init process" in (folder / "console.log").read_text()
    assert tree_digest(template.path) == before
    assert not list(tmp_path.glob("console.log"))
