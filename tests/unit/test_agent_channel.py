# SPDX-License-Identifier: Apache-2.0
"""The host end of the agent protocol, against a small agent that behaves and some that do not."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from driver.deadline import Deadline
from driver.errors import (
    DriverError,
    GuestLost,
    GuestSplat,
    GuestTimeout,
    UserError,
    WorkloadFailed,
)
from driver.guest.agent import AgentChannel
from driver.guest.agent_protocol import Frame, FrameParser
from driver.guest.job import Job, Sample, Value, Write, encode, escape

READY = b"ready 0 protocol=1 release=6.12.117\n"


def soon(seconds: float = 5.0) -> Deadline:
    return Deadline.after(seconds, "the test")


def read_job(sock: socket.socket) -> list[bytes]:
    """The lines of one job, as an agent would read them."""
    text = b""
    while not text.endswith(b"end\n"):
        text += sock.recv(4096)
    return text.splitlines()


class FakeAgent:
    """Announces itself, reads a job, answers with what the test wrote down, and hangs up."""

    def __init__(self, answer: bytes, *, chunk: int = 1 << 16, hang: bool = False) -> None:
        self.host, self._guest = socket.socketpair()
        self.job: list[bytes] = []
        self._answer, self._chunk, self._hang = answer, chunk, hang
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        self._guest.sendall(READY)
        self.job = read_job(self._guest)
        for start in range(0, len(self._answer), self._chunk):
            self._guest.sendall(self._answer[start : start + self._chunk])
        if not self._hang:
            self._guest.close()

    def close(self) -> None:
        self._thread.join(5)
        self._guest.close()


@pytest.fixture
def agent() -> Iterator[Callable[..., tuple[AgentChannel, FakeAgent]]]:
    started: list[tuple[AgentChannel, FakeAgent]] = []

    def start(answer: bytes, **options: object) -> tuple[AgentChannel, FakeAgent]:
        fake = FakeAgent(answer, **options)  # type: ignore[arg-type]
        channel = AgentChannel(fake.host)
        started.append((channel, fake))
        return channel, fake

    yield start
    for channel, fake in started:
        channel.close()
        fake.close()


Start = Callable[..., tuple[AgentChannel, FakeAgent]]

WHOLE_JOB = (
    b"output 6\nhello\n"
    b"phase 0 name=touched time_ns=1200\n"
    b"sample 12 phase=touched source=/proc/meminfo time_ns=1200\nPageTables:1"
    b"sample 5 phase=touched source=status process=3 time_ns=1200\nName\n"
    b"value 0 phase=touched name=minor%20faults unit=count value=512\n"
    b"output 4\nbye\n"
    b"exit 0 status=0\n"
)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_a_job_is_returned_whole_however_it_is_cut(agent: Start, chunk: int) -> None:
    channel, _ = agent(WHOLE_JOB, chunk=chunk)
    assert channel.wait_ready(soon()) == "6.12.117"
    result = channel.run(Job(["true"]), soon())
    assert result.status == 0
    assert result.output == "hello\nbye\n"
    assert result.samples == [
        Sample("touched", "/proc/meminfo", None, 1200, "PageTables:1"),
        Sample("touched", "status", 3, 1200, "Name\n"),
    ]
    assert result.values == [Value("touched", "minor faults", "count", 512.0)]


def test_the_job_reaches_the_agent_escaped(agent: Start) -> None:
    channel, fake = agent(b"exit 0 status=0\n")
    job = Job(
        ["footprint", "--file", "/mnt/a b", "100%", ""],
        setup=[Write("/proc/sys/vm/x", "1\n")],
        refresh=[Write("/proc/sys/vm/stat_refresh", "1")],
        sources=["/proc/meminfo", "kpageflags"],
        worker_sources=["status"],
        worker_limit=0,
    )
    channel.run(job, soon())
    assert fake.job == [
        b"job 1",
        b"write /proc/sys/vm/x 1%0A",
        b"refresh /proc/sys/vm/stat_refresh 1",
        b"source /proc/meminfo",
        b"source kpageflags",
        b"worker-source status",
        b"worker-limit 0",
        b"arg footprint",
        b"arg --file",
        b"arg /mnt/a%20b",
        b"arg 100%25",
        b"arg ",
        b"end",
    ]


def test_a_sample_says_whether_the_counters_stood_still(agent: Start) -> None:
    channel, fake = agent(
        b"phase 0 name=a time_ns=1\n"
        b"sample 1 phase=a source=/s time_ns=1\n1"
        b"sample 1 phase=a source=/s unsettled=1 time_ns=1\n2"
        b"exit 0 status=0\n"
    )
    result = channel.run(Job(["true"], settle=1.5), soon())
    assert b"settle 1500" in fake.job
    assert [(sample.text, sample.settled) for sample in result.samples] == [
        ("1", True), ("2", False),
    ]  # fmt: skip


def test_a_signal_is_a_negative_status(agent: Start) -> None:
    channel, _ = agent(b"exit 0 signal=11\n")
    assert channel.run(Job(["crash"]), soon()).status == -11


def test_what_the_agent_could_not_do_is_the_workloads_failure(agent: Start) -> None:
    channel, _ = agent(b"output 3\nabcerror 22\nstarting nothing: gone")
    with pytest.raises(WorkloadFailed, match="starting nothing: gone") as caught:
        channel.run(Job(["nothing"]), soon())
    assert caught.value.excerpt == "abc"


@pytest.mark.parametrize("length", range(0, len(WHOLE_JOB) - 1, 13))
def test_a_guest_that_dies_anywhere_is_lost(agent: Start, length: int) -> None:
    channel, _ = agent(WHOLE_JOB[:length])
    with pytest.raises(GuestLost, match="before the job ended"):
        channel.run(Job(["true"]), soon())


def test_a_guest_that_falls_silent_times_out(agent: Start) -> None:
    channel, _ = agent(b"output 2\nhi", hang=True)
    with pytest.raises(GuestTimeout, match="the test"):
        channel.run(Job(["sleep"]), soon(0.3))


def test_the_watch_can_end_the_wait(agent: Start) -> None:
    channel, _ = agent(b"", hang=True)
    calls = 0

    def watch() -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise GuestSplat("BUG: soft lockup", kind="soft-lockup")

    deadline = soon()
    with pytest.raises(GuestSplat):
        channel.run(Job(["spin"]), deadline, check_alive=watch)
    assert deadline.remaining() > 4.0


def test_an_agent_that_restarts_in_a_job_is_lost(agent: Start) -> None:
    channel, _ = agent(b"output 1\nx" + READY)
    with pytest.raises(GuestLost, match="restarted in the middle"):
        channel.run(Job(["true"]), soon())


def test_another_protocol_version_is_for_the_user_to_fix() -> None:
    host, guest = socket.socketpair()
    guest.sendall(b"ready 0 protocol=2 release=6.12\n")
    with AgentChannel(host) as channel, pytest.raises(UserError, match="protocol 2"):
        channel.wait_ready(soon())
    guest.close()


def test_a_chatterbox_is_cut_and_counted(agent: Start) -> None:
    block = b"output 1048576\n" + b"x" * (1 << 20)
    channel, _ = agent(block * 17 + b"exit 0 status=0\n")
    result = channel.run(Job(["yes"]), soon(20))
    assert len(result.output) < 17 << 20
    assert result.output.endswith("[... and 1048576 bytes more]\n")


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n",
        b"exit\n",
        b"exit 0\n",
        b"exit 0 status=zero\n",
        b"exit 0 status=1 signal=2\n",
        b"exit 0 status=1 status=1\n",
        b"exit 00 status=1\n",
        b"exit -1 status=1\n",
        b"exit 0  status=1\n",
        b"greeting 0\n",
        b"phase 0 name=x\n",
        b"phase 0 name=x time_ns=1 more=1\n",
        b"phase 0 name=%zz time_ns=1\n",
        b"value 0 phase= name=a unit=b value=much\n",
        b"value 0 phase= name=a unit=b value=nan\n",
        b"output 99999999999\n",
        b"output 9999999999\n",
        b"Kernel panic - not syncing: Attempted to kill init!\n",
        b"x" * 5000,
    ],
)
def test_garbage_is_never_believed(agent: Start, garbage: bytes) -> None:
    channel, _ = agent(garbage, hang=True)
    with pytest.raises(GuestLost, match="garbage"):
        channel.run(Job(["true"]), soon())


def test_a_damaged_stream_raises_the_drivers_errors_and_no_other() -> None:
    source = random.Random(2019)
    stream = READY + WHOLE_JOB
    for _ in range(2000):
        damaged = bytearray(stream)
        for _ in range(source.randint(1, 4)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        parser = FrameParser()
        parser.feed(bytes(damaged))
        try:
            while (frame := parser.next()) is not None:
                assert isinstance(frame, Frame)
        except DriverError:
            pass


@pytest.mark.parametrize("word", ["", "a b", "%41", "tab\tline\n", "ünïcode", "\udcff"])
def test_words_survive_escaping(word: str) -> None:
    from urllib.parse import unquote_to_bytes

    escaped = escape(word)
    assert not set(escaped) & set(" \t\n")
    assert unquote_to_bytes(escaped).decode("utf-8", "surrogateescape") == word


@pytest.mark.parametrize(
    "job", [Job([]), Job(["a\0b"]), Job(["x" * 70000])], ids=["empty", "nul", "long"]
)
def test_a_job_that_cannot_be_asked_is_refused(job: Job) -> None:
    with pytest.raises(UserError):
        encode(job)
