# SPDX-License-Identifier: Apache-2.0
"""The descriptors between the driver and QEMU."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from descriptors import descriptors, opened_since

from driver.deadline import Deadline
from driver.errors import GuestTimeout, UserError
from driver.guest.machine import Machine
from driver.guest.wires import JOB_BYTES, Wires


def read_exactly(sock: object, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))  # type: ignore[attr-defined]
    return data


@pytest.mark.parametrize("machine", [Machine(), Machine(accel="exact")])
def test_everything_is_closed(machine: Machine) -> None:
    before = descriptors()
    wires = Wires(machine, console=True, job=b"job 1\nend\n")
    assert descriptors() - before
    wires.close_theirs()
    wires.close()
    wires.close()
    assert not opened_since(before)


def test_the_death_of_the_far_end_shows() -> None:
    wires = Wires(Machine())
    wires.close_theirs()  # as if QEMU had inherited its ends and died
    assert wires.agent.recv(1) == b""
    assert wires.monitor.recv(1) == b""
    wires.close()


def test_an_exact_guest_finds_its_job_padded_to_a_fixed_size() -> None:
    wires = Wires(Machine(accel="exact"), job=b"job 1\nend\n")
    assert wires.ports.job is not None
    content = os.pread(wires.ports.job, JOB_BYTES + 1, 0)
    assert len(content) == JOB_BYTES
    assert content.rstrip(b"\0") == b"job 1\nend\n"
    wires.close()


def test_what_an_exact_guest_writes_arrives_whole() -> None:
    """More than a socket holds, while nobody reads: QEMU must never wait for us."""
    wires = Wires(Machine(accel="exact"), job=b"")
    output = os.open(f"/proc/self/fd/{wires.ports.output}", os.O_WRONLY)
    data = os.urandom(4 << 20)
    began = time.monotonic()
    assert os.write(output, data) == len(data)
    assert time.monotonic() - began < 5
    wires.agent.settimeout(10)
    assert read_exactly(wires.agent, len(data)) == data
    os.write(output, b"more")
    assert read_exactly(wires.agent, 4) == b"more"
    os.close(output)
    wires.close()


def test_closing_does_not_wait_for_output_nobody_reads() -> None:
    wires = Wires(Machine(accel="exact"), job=b"")
    output = os.open(f"/proc/self/fd/{wires.ports.output}", os.O_WRONLY)
    os.write(output, bytes(8 << 20))
    time.sleep(0.05)
    closing = threading.Thread(target=wires.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    os.close(output)


def test_the_bell_waits_until_it_was_heard() -> None:
    wires = Wires(Machine(accel="exact"))
    assert wires.ports.bell is not None
    with pytest.raises(GuestTimeout):
        wires.ring(Deadline.after(0.05, "the bell"))

    def hear() -> None:
        time.sleep(0.1)
        assert wires.ports.bell is not None
        os.read(wires.ports.bell, 16)

    listener = threading.Thread(target=hear)
    listener.start()
    wires.ring(Deadline.after(10, "the bell"))
    listener.join()
    wires.close()


def test_a_socket_path_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(UserError, match="longer than 107 bytes"):
        Wires(Machine(), gdb=tmp_path / ("x" * 108))
    assert not opened_since(before)
