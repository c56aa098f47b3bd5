# SPDX-License-Identifier: Apache-2.0
"""What a guest is asked to do, and what it answers.

A *job* is one command run by the guest agent. While it runs it may announce *phases*; at each
phase the agent first makes the refresh writes, then copies every requested source verbatim to
the host, and only then lets the job continue. The host parses the texts (:mod:`driver.counters`):
the guest stays small and the raw evidence stays whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_from_bytes

from driver.errors import UserError
from driver.text import binary

PROTOCOL = 1

# The agent's own limit on the text of a job (MAX_JOB_TEXT in agent.h), in bytes.
_MAX_JOB = 65536


@dataclass(frozen=True)
class Write:
    """One write of ``text`` to the file ``path`` in the guest (a sysctl, a debug knob)."""

    path: str
    text: str


@dataclass(frozen=True)
class Job:
    """A command for the guest agent.

    ``argv`` is executed directly (no shell) with PATH set; ``setup`` writes are made once before
    it starts, ``refresh`` writes before every sampling. ``sources`` are absolute paths of text
    files, or the agent's built-in ``kpageflags`` (a histogram of page types). ``worker_sources``
    are names below ``/proc/PID`` (``status``, ``smaps_rollup``), read for the first
    ``worker_limit`` processes that a phase names; 0 means all of them. Before every sampling the
    agent waits up to ``settle`` seconds of guest time for page tables that the kernel frees later
    than they are given back. ``timeout`` is in seconds of host time for the whole job.
    """

    argv: Sequence[str]
    setup: Sequence[Write] = ()
    refresh: Sequence[Write] = ()
    sources: Sequence[str] = ()
    worker_sources: Sequence[str] = ()
    worker_limit: int = 1
    settle: float = 0.0
    timeout: float = 60.0


@dataclass(frozen=True)
class Sample:
    """The verbatim text of one source at one phase.

    ``time_ns`` is the guest's CLOCK_MONOTONIC when the phase was reached; ``process`` is the
    index of the worker within the phase's announcement for a per-process source, else None.
    ``settled`` is False if page tables were still being freed when a system-wide source was read.
    """

    phase: str
    source: str
    process: int | None
    time_ns: int
    text: str
    settled: bool = True


@dataclass(frozen=True)
class Value:
    """A number the workload measured itself: ``name`` in ``unit``, since the latest ``phase``."""

    phase: str
    name: str
    unit: str
    value: float


@dataclass
class JobResult:
    """Everything a finished job left behind.

    ``status`` is its exit status, or minus the signal number that killed it; ``output`` is its
    stdout and stderr as they were interleaved.
    """

    status: int
    samples: list[Sample] = field(default_factory=list)
    values: list[Value] = field(default_factory=list)
    output: str = ""


def encode(job: Job) -> bytes:
    """The lines that ask the agent for ``job``; :class:`UserError` if it cannot be asked."""
    if not job.argv:
        raise UserError("a job needs a command", hint="Give it at least the name of a program.")
    lines = [
        f"job {PROTOCOL}",
        *(f"write {escape(write.path)} {escape(write.text)}" for write in job.setup),
        *(f"refresh {escape(write.path)} {escape(write.text)}" for write in job.refresh),
        *(f"source {escape(source)}" for source in job.sources),
        *(f"worker-source {escape(source)}" for source in job.worker_sources),
        f"worker-limit {job.worker_limit}",
        *([f"settle {round(job.settle * 1000)}"] if job.settle else []),
        *(f"arg {escape(word)}" for word in job.argv),
        "end",
    ]
    text = "".join(f"{line}\n" for line in lines)
    if len(text) > _MAX_JOB:
        raise UserError(
            f"the job is {binary(len(text))} long; the agent accepts at most {binary(_MAX_JOB)}",
            hint="Pass large inputs in a file of the guest.",
        )
    return text.encode("ascii")


def escape(word: str) -> str:
    """Percent-escape a word so that it holds neither blanks nor line ends; :class:`UserError` on
    a NUL, which no path and no argument can hold.
    """
    if "\0" in word:
        raise UserError(f"{word!r} contains a NUL character", hint="Remove it.")
    plain = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) != "%")
    return quote_from_bytes(word.encode("utf-8", "surrogateescape"), safe=plain)
