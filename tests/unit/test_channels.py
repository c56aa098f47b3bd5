# SPDX-License-Identifier: Apache-2.0
"""The descriptors between the driver and QEMU."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from helpers.descriptors import descriptors, opened_since

from driver.deadline import Deadline
from driver.errors import GuestTimeout, UserError
from driver.guest.channels import Channels
from driver.guest.machine import Machine
from driver.guest.qemu_args import JOB_BYTES


def read_exactly(sock: object, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += sock.recv(count - len(data))  # type: ignore[attr-defined]
    return data


@pytest.mark.parametrize("machine", [Machine(), Machine(accel="icount")])
def test_everything_is_closed(machine: Machine) -> None:
    before = descriptors()
    channels = Channels(machine, console=True, job=b"job 1\nend\n")
    assert descriptors() - before
    channels.close_theirs()
    channels.close()
    channels.close()
    assert not opened_since(before)


def test_the_death_of_the_far_end_shows() -> None:
    channels = Channels(Machine())
    channels.close_theirs()  # as if QEMU had inherited its ends and died
    assert channels.agent.recv(1) == b""
    assert channels.monitor.recv(1) == b""
    channels.close()


def test_a_deterministic_guest_finds_its_job_padded_to_a_fixed_size() -> None:
    channels = Channels(Machine(accel="icount"), job=b"job 1\nend\n")
    assert isinstance(channels.ports.job, int)
    content = os.pread(channels.ports.job, JOB_BYTES + 1, 0)
    assert len(content) == JOB_BYTES
    assert content.rstrip(b"\0") == b"job 1\nend\n"
    channels.close()


def test_what_a_deterministic_guest_writes_arrives_whole() -> None:
    """More than a socket holds, while nobody reads: QEMU must never wait for us."""
    channels = Channels(Machine(accel="icount"), job=b"")
    output = os.open(f"/proc/self/fd/{channels.ports.output}", os.O_WRONLY)
    data = os.urandom(4 << 20)
    began = time.monotonic()
    assert os.write(output, data) == len(data)
    assert time.monotonic() - began < 5
    channels.agent.settimeout(10)
    assert read_exactly(channels.agent, len(data)) == data
    os.write(output, b"more")
    assert read_exactly(channels.agent, 4) == b"more"
    os.close(output)
    channels.close()


def test_closing_does_not_wait_for_output_nobody_reads() -> None:
    channels = Channels(Machine(accel="icount"), job=b"")
    output = os.open(f"/proc/self/fd/{channels.ports.output}", os.O_WRONLY)
    os.write(output, bytes(8 << 20))
    time.sleep(0.05)
    closing = threading.Thread(target=channels.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()
    os.close(output)


def test_the_start_trigger_waits_until_it_was_read() -> None:
    channels = Channels(Machine(accel="icount"))
    theirs = channels.ports.start_trigger
    assert isinstance(theirs, int)
    with pytest.raises(GuestTimeout):
        channels.trigger_start(Deadline.after(0.05, "the start trigger"))

    def hear() -> None:
        time.sleep(0.1)
        os.read(theirs, 16)

    listener = threading.Thread(target=hear)
    listener.start()
    channels.trigger_start(Deadline.after(10, "the start trigger"))
    listener.join()
    channels.close()


def test_a_socket_path_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    before = descriptors()
    with pytest.raises(UserError, match="longer than 107 bytes"):
        Channels(Machine(), gdb=tmp_path / ("x" * 108))
    assert not opened_since(before)
