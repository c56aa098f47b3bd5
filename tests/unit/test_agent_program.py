# SPDX-License-Identifier: Apache-2.0
"""The guest agent itself, compiled and run on this host at the other end of a socket pair."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from driver.deadline import Deadline
from driver.errors import GuestLost, WorkloadFailed
from driver.guest.agent import AgentChannel
from driver.guest.agent_protocol import Frame, FrameParser
from driver.guest.job import Job, JobResult, Write, escape
from driver.image.programs import compile_programs

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

# A workload in Python that speaks to the agent: `say(text)` sends a message, `hear()` waits.
PRELUDE = """
import os, signal, socket, sys, time
channel = socket.socket(fileno=int(os.environ["TRIAL_FD"]))
say = lambda text: channel.send(text.encode())
hear = lambda: channel.recv(16).decode()
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("agent")
    compile_programs([ROOT / "guest-images" / "programs"], folder)
    return folder / "agent"


class RunningAgent:
    def __init__(self, program: Path) -> None:
        self.host, guest = socket.socketpair()
        self.process = subprocess.Popen(
            [program, "--channel", str(guest.fileno())],
            pass_fds=[guest.fileno()],
            stdin=subprocess.DEVNULL,
        )
        guest.close()
        self.channel = AgentChannel(self.host)

    def run(self, *argv: str, **options: object) -> JobResult:
        return self.channel.run(Job(argv, **options), soon())  # type: ignore[arg-type]

    def python(self, text: str, *words: str, **options: object) -> JobResult:
        return self.run(sys.executable, "-c", PRELUDE + text, *words, **options)


def soon() -> Deadline:
    return Deadline.after(20, "the test")


@pytest.fixture
def agent(program: Path) -> Iterator[RunningAgent]:
    running = RunningAgent(program)
    running.channel.wait_ready(soon())
    yield running
    running.channel.close()
    # 1: it was still answering when we left; -9: the test killed it.
    assert running.process.wait(timeout=5) in {0, 1, -9}


def test_it_announces_the_kernel(program: Path) -> None:
    running = RunningAgent(program)
    assert running.channel.wait_ready(soon()) == os.uname().release
    running.channel.close()
    assert running.process.wait(timeout=5) == 0


@pytest.mark.parametrize("status", [0, 1, 77, 255])
def test_the_exit_status_is_kept(agent: RunningAgent, status: int) -> None:
    assert agent.run("sh", "-c", f"exit {status}").status == status


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_the_signal_is_kept(agent: RunningAgent, number: int) -> None:
    assert agent.run("sh", "-c", f"kill -{int(number)} $$").status == -number


def test_stdout_and_stderr_arrive_in_order(agent: RunningAgent) -> None:
    result = agent.run("sh", "-c", "echo one; echo two >&2; echo three")
    assert result.output == "one\ntwo\nthree\n"


def test_standard_input_is_empty(agent: RunningAgent) -> None:
    assert agent.run("wc", "-c").output.strip() == "0"


def test_arguments_arrive_verbatim(agent: RunningAgent) -> None:
    words = ["", "a b", "100%", "%41", "new\nline", "ünï"]
    result = agent.python("print(ascii(sys.argv[1:]))", *words)
    assert result.output == ascii(words) + "\n"


def test_one_job_after_another(agent: RunningAgent) -> None:
    assert [agent.run("sh", "-c", f"exit {i}").status for i in range(20)] == list(range(20))


def test_phases_sample_between_announcement_and_answer(agent: RunningAgent, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    text = """
path = sys.argv[1]
for name in ["before", "after"]:
    open(path, "w").write(name + "-text")
    print("reached", name, flush=True)
    say(f"phase {name} {os.getpid()}")
    assert hear() == "go"
    say(f"value faults count {len(name)}.5")
print("end")
"""
    result = agent.python(
        text, str(counter), sources=[str(counter)], worker_sources=["comm"], worker_limit=0
    )
    assert result.status == 0, result.output
    assert [(s.phase, s.source, s.process) for s in result.samples] == [
        ("before", str(counter), None),
        ("before", "comm", 0),
        ("after", str(counter), None),
        ("after", "comm", 0),
    ]
    assert [s.text for s in result.samples if s.process is None] == ["before-text", "after-text"]
    assert result.samples[1].time_ns == result.samples[0].time_ns < result.samples[2].time_ns
    assert [(v.phase, v.name, v.unit, v.value) for v in result.values] == [
        ("before", "faults", "count", 6.5),
        ("after", "faults", "count", 5.5),
    ]
    assert result.output == "reached before\nreached after\nend\n"


def test_output_before_a_phase_precedes_it(program: Path) -> None:
    running = RunningAgent(program)
    text = PRELUDE + 'print("x" * 50000, flush=True); say("phase p"); hear(); print("late")'
    words = "".join(f"arg {word}\n" for word in [sys.executable, "-c", escape(text)])
    running.host.setblocking(True)
    running.host.settimeout(20)
    running.host.sendall(b"job 1\n" + words.encode() + b"end\n")
    frames: list[Frame] = []
    parser = FrameParser()
    while not frames or frames[-1].type != "exit":
        parser.feed(running.host.recv(65536))
        while (frame := parser.next()) is not None:
            frames.append(frame)
    position = [frame.type for frame in frames].index("phase")
    assert sum(len(f.payload) for f in frames[:position] if f.type == "output") == 50001
    assert b"".join(f.payload for f in frames[position:] if f.type == "output") == b"late\n"
    running.channel.close()
    running.process.wait(timeout=5)


def test_writes_are_made_before_the_job_and_before_every_sampling(
    agent: RunningAgent, tmp_path: Path
) -> None:
    setup, refresh = tmp_path / "setup", tmp_path / "refresh"
    setup.write_text("....")
    refresh.write_text("....")
    text = """
print(open(sys.argv[1]).read(), open(sys.argv[2]).read(), flush=True)
say("phase p"); hear()
print(open(sys.argv[2]).read())
"""
    result = agent.python(
        text,
        str(setup),
        str(refresh),
        setup=[Write(str(setup), "1")],
        refresh=[Write(str(refresh), "2")],
    )
    assert result.output == "1... ....\n2...\n"


def test_the_worker_limit_is_kept(agent: RunningAgent) -> None:
    text = 'say("phase p" + f" {os.getpid()}" * 5); hear()'
    for limit, expected in [(0, 5), (1, 1), (3, 3), (9, 5)]:
        result = agent.python(text, worker_sources=["comm"], worker_limit=limit)
        assert [sample.process for sample in result.samples] == list(range(expected))


def test_a_large_source_arrives_whole(agent: RunningAgent, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_text("0123456789abcde\n" * 300_000)
    result = agent.python('say("phase p"); hear()', sources=[str(large), str(large)])
    assert [sample.text for sample in result.samples] == [large.read_text()] * 2


def test_huge_output_arrives_whole(agent: RunningAgent) -> None:
    result = agent.run("sh", "-c", "yes 123456789 | head -c 8000000; exit 3")
    assert (result.status, len(result.output)) == (3, 8_000_000)


def test_ten_thousand_processes_can_be_named(agent: RunningAgent) -> None:
    text = 'say("phase p" + " 1234567" * 10000); print(hear())'
    assert agent.python(text).output == "go\n"


def test_a_daemon_does_not_hold_the_job_open(agent: RunningAgent) -> None:
    started = time.monotonic()
    result = agent.run("sh", "-c", "setsid sleep 30 & echo pid $!; exit 4")
    assert result.status == 4
    assert time.monotonic() - started < 10
    with suppress(ProcessLookupError):
        os.kill(int(result.output.split()[1]), signal.SIGKILL)


def test_the_jobs_processes_end_with_it(agent: RunningAgent) -> None:
    result = agent.run("sh", "-c", "sleep 60 & echo $!; kill -9 $$")
    assert result.status == -signal.SIGKILL
    with pytest.raises(ProcessLookupError):
        os.kill(int(result.output), 0)


def test_a_child_that_dies_in_a_phase_is_reported_by_its_signal(agent: RunningAgent) -> None:
    text = """
if os.fork() == 0:
    time.sleep(0.2)
    os.kill(os.getppid(), signal.SIGKILL)
    os._exit(0)
say("phase first"); hear()
say("value v unit 1")
time.sleep(10)
"""
    result = agent.python(text)
    assert result.status == -signal.SIGKILL
    assert [value.name for value in result.values] == ["v"]
    assert agent.run("true").status == 0


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"argv": ["/no/such/program"]}, "cannot start /no/such/program: No such file"),
        ({"argv": ["true"], "setup": [Write("/no/such/sysctl", "1")]}, "/no/such/sysctl"),
        ({"argv": ["/etc/passwd"]}, "Permission denied"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_its_reason(
    agent: RunningAgent, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(WorkloadFailed, match=reason):
        agent.channel.run(Job(**options), soon())  # type: ignore[arg-type]
    assert agent.run("true").status == 0


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ('say("phase p"); hear()', {"sources": ["/no/such/source"]}, "/no/such/source"),
        ('say("phase p 999999999"); hear()', {"worker_sources": ["comm"]}, "/proc/999999999/comm"),
        ('say("phase p x"); hear()', {"worker_sources": ["comm"]}, "names `x` as a process"),
        ('say("phase p"); hear()', {"refresh": [Write("/no/such/file", "1")]}, "/no/such/file"),
        ('say("greeting"); hear()', {}, "unknown message `greeting`"),
        ('say("value v"); hear()', {}, "malformed value"),
        ('say("value v unit many"); hear()', {}, "malformed value"),
        ('say("phase " + "p" * 500); hear()', {}, "empty or too long"),
    ],
)
def test_a_job_that_cannot_be_sampled_is_ended_with_the_reason(
    agent: RunningAgent, text: str, options: dict[str, object], reason: str
) -> None:
    with pytest.raises(WorkloadFailed, match=reason) as caught:
        agent.python('print("pid", os.getpid(), flush=True); ' + text.strip(), **options)
    assert caught.value.excerpt is not None
    pid = int(caught.value.excerpt.split()[1])
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert agent.run("true").status == 0


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("job 2\narg true\nend\n", "expected `job 1`"),
        ("job 1\ndance\narg true\nend\n", "unknown line `dance`"),
        ("job 1\nend\n", "no command"),
        ("job 1\nwrite /path\narg true\nend\n", "needs another word"),
        ("job 1\narg a b\nend\n", "has too many words"),
        ("job 1\narg %4\nend\n", "malformed escape"),
        ("job 1\narg %00\nend\n", "malformed escape"),
        ("job 1\nworker-limit many\narg true\nend\n", "is not a count"),
        ("job 1\nsettle -1\narg true\nend\n", "`settle -1` is not a count"),
        ("job 1\n" + "arg x\n" * 1100 + "end\n", "more than 1024 words"),
        ("job 1\narg " + "x" * 70000 + "\nend\n", "longer than 65536"),
        ("job 1\n" + f"arg {'x' * 1000}\n" * 100 + "end\n", "longer than 65536"),
        ("job 1\narg a\0b\nend\n", "NUL"),
        ("\n\n\nend\n", "expected `job 1`"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused_and_the_next_one_runs(
    agent: RunningAgent, lines: str, reason: str
) -> None:
    agent.host.setblocking(True)
    agent.host.sendall(lines.encode())
    agent.host.setblocking(False)
    with pytest.raises(WorkloadFailed, match=reason):
        agent.channel.run(Job(["true"]), soon())
    # The answer to the refused job was taken for the second job's; its own is still to come.
    assert agent.channel.run(Job(["sh", "-c", "exit 9"]), soon()).status == 0
    agent.channel.run(Job(["true"]), soon())


def test_a_job_may_trickle_in(agent: RunningAgent) -> None:
    agent.host.setblocking(True)
    for byte in b"job 1\narg sh\narg -c\narg exit%205\nend\n":
        agent.host.sendall(bytes([byte]))
    agent.host.setblocking(False)
    assert agent.channel.run(Job(["true"]), soon()).status == 5


def test_a_dead_agent_is_lost(agent: RunningAgent) -> None:
    agent.process.kill()
    with pytest.raises(GuestLost):
        agent.run("true")


@pytest.mark.skipif(os.geteuid() != 0, reason="/proc/kpageflags is for root")
def test_page_flags_are_counted_over_all_of_ram(agent: RunningAgent) -> None:
    if not Path("/proc/kpageflags").exists():
        pytest.skip("this kernel has no /proc/kpageflags")
    result = agent.python('say("phase p"); hear()', sources=["kpageflags"])
    counts = dict(line.split() for line in result.samples[0].text.splitlines())
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    assert int(counts["total"]) * 4 >= total_kib
    assert 0 < int(counts["pgtable"]) < int(counts["total"])
