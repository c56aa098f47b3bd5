# SPDX-License-Identifier: Apache-2.0
"""A person in a guest that misbehaves: the shell, the debugger's door, traces with names."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from driver.artifacts import KernelArtifact
from driver.kernel.stacktrace import decode
from driver.kernel.symbols import Symbols
from driver.process import run

SMALL = ["--series", "none", "--memory", "512", "--vcpus", "1", "--nvdimm", "1280"]


def shell(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "driver.cli.main", "shell", *SMALL, *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


class Debugger:
    """The little of GDB's remote serial protocol that reads memory."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._said = b""

    def ask(self, command: str, wanted: str) -> str:
        """Send a packet (`$DATA#CHECKSUM`) and return the first that comes and looks as wanted.

        QEMU also says by itself that the guest has stopped, which happens when one connects.
        """
        packet = f"${command}#{sum(command.encode()) % 256:02x}"
        self._socket.sendall(packet.encode())
        while True:
            answer = self._packet()
            if re.match(wanted, answer):
                return answer

    def _packet(self) -> str:
        while not (found := re.search(rb"\$([^#]*)#..", self._said)):
            more = self._socket.recv(4096)
            assert more, f"closed after {self._said!r}"
            self._said += more
        self._said = self._said[found.end() :]
        self._socket.sendall(b"+")  # without it QEMU says the same again, and nothing else
        return found[1].decode()

    def memory(self, address: int, size: int) -> bytes:
        return bytes.fromhex(self.ask(f"m{address:x},{size:x}", r"([0-9a-f]{2})+$"))


@contextmanager
def debugged_shell(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A running `driver shell --gdb` and the lines that say how to attach."""
    with subprocess.Popen(
        [sys.executable, "-m", "driver.cli.main", "shell", *SMALL, "--gdb", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        printed: list[str] = []
        while not printed or "detach" not in printed[-1]:
            line = child.stderr.readline()
            assert line, f"it ended: {printed}"
            printed.append(line)
        try:
            yield child, printed
        finally:
            child.terminate()


def test_a_debugger_finds_the_kernel_its_vmlinux_describes(plain: KernelArtifact) -> None:
    with debugged_shell("--", "sleep", "60") as (_, printed):
        line = next(line for line in printed if "target remote" in line)
        path = re.search(r"target remote ([^']+)'", line)
        assert path is not None
        symbols = line.split()[-1]
        assert Path(symbols).parent == plain.vmlinux.parent
        listing = run(["nm", "--defined-only", symbols]).stdout
        banner = next(int(row.split()[0], 16) for row in listing.splitlines()
                      if row.endswith(" linux_banner"))  # fmt: skip
        debugger = Debugger(Path(path[1]))
        debugger.ask("qSupported", "PacketSize=")
        debugger.ask("?", "T[0-9a-f]{2}")  # stopped, and by which signal
        said = debugger.memory(banner, 40)
        assert said.startswith(f"Linux version {plain.release} ".encode())
    assert not Path(path[1]).exists()


def test_a_panic_in_the_shell_is_reported_with_its_trace(plain: KernelArtifact) -> None:
    began = time.monotonic()
    done = shell("--", "sh", "-c", "echo c > /proc/sysrq-trigger; sleep 100")
    assert done.returncode == 4
    assert "the guest's kernel reported panic" in done.stderr
    frames = re.findall(r"sysrq_handle_crash\+0x([0-9a-f]+)/0x([0-9a-f]+)", done.stderr)
    assert frames
    symbols = Symbols.of_kernel(plain.vmlinux.parent)
    offset, size = (int(number, 16) for number in frames[0])
    address = symbols.address("sysrq_handle_crash", offset, size)
    assert address is not None, "the trace is of this kernel"
    assert symbols.function(address) == f"sysrq_handle_crash+0x{offset:x}/0x{size:x}"
    text = next(line for line in done.stderr.splitlines() if "sysrq_handle_crash+" in line)
    bare = re.sub(r" \(.*\)$", "", text.removeprefix("  | "))
    expected = decode(bare, symbols)
    assert expected.text in text
    log = re.search(r"^log: (.*)$", done.stderr, re.M)
    assert log is not None
    assert "sysrq_handle_crash+" in Path(log[1]).read_text(errors="replace")
    if symbols.has_lines:
        assert "drivers/tty/sysrq.c:" in text
    else:
        assert "no source lines: the kernel was built without debug information" in done.stderr
        assert "--variant debug-info" in done.stderr
    assert time.monotonic() - began < 120, "nobody waited for the command that hung"


def test_a_shell_that_went_well_says_nothing_of_the_kernel() -> None:
    done = shell("--", "sh", "-c", "echo $((6 * 7)); exit 3")
    assert (done.returncode, done.stdout) == (3, "42\n")
    assert "kernel reported" not in done.stderr


FAILING = """
question = "Does it fail?"
expected = "It does."
image = "dax"
[machine]
memory_mib = 512
nvdimm_mib = 512
[workload]
argv = ["sh", "-c", "{{ 'exit 7' if how == 'status' else 'echo c > /proc/sysrq-trigger' }}"]
phases = ["done"]
[sources.keep]
[factors.kernel.arms.plain]
kernel = { series = "none" }
[factors.how]
values = ["status", "panic"]
[retry]
attempts = 1
"""


@pytest.fixture
def failing(scratch_project: Path) -> Path:
    """A project whose only own experiment fails in two ways."""
    folder = scratch_project / "experiments" / "failing"
    folder.mkdir()
    (folder / "experiment.toml").write_text(FAILING)
    return scratch_project


def terminal(*arguments: str) -> pexpect.spawn[str]:
    """The driver in a terminal of its own."""
    return pexpect.spawn(
        sys.executable,
        ["-m", "driver.cli.main", *arguments],
        encoding="utf-8",
        timeout=240,
        dimensions=(50, 200),
    )


def shown(driver: pexpect.spawn[str], pattern: str) -> str:
    """Wait for a pattern; what its first group matched."""
    driver.expect(pattern)
    assert isinstance(driver.match, re.Match)
    return str(driver.match[1])


def test_a_failed_guest_is_kept_for_a_person(failing: Path, plain: KernelArtifact) -> None:
    driver = terminal("run", "experiment", "failing", "--keep-guest", "--accel", "tcg")
    driver.expect("exited with status 7")
    console = shown(driver, r"driver shell --attach (\S+/console)\r\n")
    driver.expect("Ctrl-C stops the run")
    visitor = terminal("shell", "--attach", console)
    visitor.expect("leaves")
    visitor.send("\r")
    visitor.expect("# ")
    visitor.send("echo $((6 * 7)) > /dev/shm/seen; uname -r; cat /dev/shm/seen\r")
    visitor.expect(f"{plain.release}\r\n42\r\n")
    visitor.send("\x1d")
    visitor.expect(pexpect.EOF)
    driver.send("\r")

    driver.expect("sysrq triggered crash")
    door = Path(shown(driver, r"target remote (\S+/gdb)'"))
    driver.expect("Ctrl-C stops the run")
    debugger = Debugger(door)
    debugger.ask("qSupported", "PacketSize=")
    # %rip is the 17th of the 64-bit registers GDB asks for first.
    registers = bytes.fromhex(debugger.ask("g", r"([0-9a-fx]{2})+$").replace("x", "0"))
    at = Symbols.of_kernel(plain.vmlinux.parent).function(
        int.from_bytes(registers[16 * 8 : 17 * 8], "little")
    )
    assert at is not None, "the panicked kernel stands still inside itself"
    driver.sendintr()
    driver.expect(pexpect.EOF)
    driver.close()
    assert driver.exitstatus == 130
    assert not door.exists()
    (run,) = (failing / "results").glob("failing-*")
    kept = (run / "console" / "plain_status_r1.log").read_text()
    assert "seen" not in kept, "a visit is no evidence"
    assert not (run / "trials" / "plain_panic_r1.json").exists(), "it was cut short"
