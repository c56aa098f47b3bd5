# SPDX-License-Identifier: Apache-2.0
"""Ways into a guest for a person: SSH, the serial console, a debugger."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestTimeout
from driver.guest.boot import boot
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.template import Template, Templates
from driver.store import Store

SMALL = Machine(memory_mib=512, vcpus=1, nvdimm_mib=512)


@pytest.fixture(scope="module")
def template(store: Store, plain: KernelArtifact, image: ImageArtifact) -> Template:
    return Templates(store).get(SMALL, plain, image)


def soon(seconds: float = 60) -> Deadline:
    return Deadline.after(seconds, "the test")


def shell(line: str) -> Job:
    return Job(argv=["sh", "-c", line])


def test_ssh(plain: KernelArtifact, image: ImageArtifact, tmp_path: Path) -> None:
    data = os.urandom(300_000)
    (tmp_path / "up").write_bytes(data)
    machine = replace(SMALL, ssh=True)
    with boot(machine, plain, image, tmp_path / "guest") as guest, guest.ssh(soon()) as ssh:
        done = ssh.run("uname -r; echo error >&2; exit 5", soon())
        assert (done.status, done.stdout.strip(), done.stderr) == (5, plain.release, "error\n")
        assert ssh.run(["echo", "two words", "$HOME"], soon()).stdout == "two words $HOME\n"
        assert ssh.run("cat", soon(), stdin=b"x" * 100_000).stdout == "x" * 100_000
        ssh.upload(tmp_path / "up", "/tmp/a file", soon(), mode=0o600)
        there = ssh.run("stat -c %a '/tmp/a file'; sha256sum < '/tmp/a file'", soon()).stdout
        assert there.split()[:2] == ["600", hashlib.sha256(data).hexdigest()]
        ssh.download("/tmp/a file", tmp_path / "down", soon())
        assert (tmp_path / "down").read_bytes() == data
        with pytest.raises(GuestTimeout):
            ssh.run("sleep 100", soon(1))
        addresses = listening(guest.pid)
    assert addresses == {"127.0.0.1"}


def listening(pid: int) -> set[str]:
    """The local addresses on which a process accepts TCP connections."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(entry.readlink()).removeprefix("socket:[").removesuffix("]"))
    found = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and fields[9] in inodes:
            address = bytes.fromhex(fields[1].split(":")[0])[::-1]
            found.add(".".join(str(byte) for byte in address))
    return found


def test_the_live_console(plain: KernelArtifact, image: ImageArtifact, tmp_path: Path) -> None:
    with boot(SMALL, plain, image, tmp_path, console=True) as guest:
        assert guest.live_console is not None
        guest.live_console.expect("Run /init as init process", soon())
        interactive = "exec sh -i <>/dev/ttyS0 >&0 2>&0"
        job = threading.Thread(target=lambda: guest.run(shell(interactive), soon()))
        job.start()
        guest.live_console.expect(r"[#$] ", soon())
        guest.live_console.send_line("echo $((6 * 7))")
        assert "42" in guest.live_console.expect(r"\n42\r?\n", soon())
        guest.live_console.send_line("exit")
        job.join(30)
        assert not job.is_alive()
        assert "echo $((6 * 7))" in guest.console_text()


def test_a_debugger_can_attach(template: Template, tmp_path: Path) -> None:
    with (
        template.fork(tmp_path, gdb=tmp_path / "gdb"),
        socket.socket(socket.AF_UNIX) as debugger,
    ):
        debugger.settimeout(30)
        debugger.connect(str(tmp_path / "gdb"))
        debugger.sendall(b"$?#3f")  # why has it stopped? (the remote protocol's first question)
        assert debugger.recv(100).lstrip(b"+").startswith(b"$T02")  # by SIGINT, for us
