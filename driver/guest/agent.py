# SPDX-License-Identifier: Apache-2.0
"""The host's end of the guest agent's protocol (``guest-images/programs/agent/agent.h``).

Guest to host, a stream of frames, each ``TYPE LENGTH KEY=WORD ...\\n`` and LENGTH bytes; host to
guest, one job at a time as lines. The guest is not trusted to be sane: a kernel under test may die
in the middle of a frame or scribble over it, so every frame is checked before it is believed.
"""

from __future__ import annotations

import math
import re
import select
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from driver.deadline import Deadline
from driver.errors import GuestLost, UserError, WorkloadFailed
from driver.guest.job import PROTOCOL, Job, JobResult, Sample, Value, encode

# Seconds between two calls of a waiting caller's `check_alive`.
_WATCH_EVERY = 0.1
# A job that prints more than this is out of control; the rest is counted, not kept.
_MAX_OUTPUT = 16 << 20


# Longest head the agent writes is 2048 bytes; the largest text so far is smaps of a big process.
_MAX_HEAD = 4096
_MAX_PAYLOAD = 256 << 20
_HEAD = re.compile(rb"(?P<type>[a-z]+) (?P<length>0|[1-9][0-9]{0,9})(?P<keys>(?: [a-z_]+=\S*)*)\n")
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")

# What each frame must carry, and what it may.
_KEYS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "ready": (frozenset({"protocol", "release"}), frozenset()),
    "output": (frozenset(), frozenset()),
    "phase": (frozenset({"name", "time_ns"}), frozenset()),
    "sample": (frozenset({"phase", "source", "time_ns"}), frozenset({"process"})),
    "value": (frozenset({"phase", "name", "unit", "value"}), frozenset()),
    "exit": (frozenset(), frozenset({"status", "signal"})),
    "error": (frozenset(), frozenset()),
}


@dataclass(frozen=True)
class Frame:
    """One message of the agent: ``keys`` are unescaped, ``payload`` is verbatim."""

    type: str
    keys: Mapping[str, str]
    payload: bytes

    def number(self, key: str) -> int:
        """The key's value as a whole number; :class:`GuestLost` if it is none."""
        text = self.keys[key]
        if not re.fullmatch(r"-?[0-9]{1,20}", text):
            raise garbled(f"{self.type}: {key}={text!r} is not a whole number")
        return int(text)


class FrameParser:
    """Cuts a byte stream, fed in any portions, into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take in what arrived."""
        self._buffer += data

    @property
    def pending(self) -> int:
        """Bytes of an unfinished frame."""
        return len(self._buffer)

    def next(self) -> Frame | None:
        """The next whole frame, or None while it is incomplete.

        Raises :class:`GuestLost` on anything that is not a frame: there is no way to find the
        start of the next one, so the channel is worth nothing from then on.
        """
        end = self._buffer.find(b"\n", 0, _MAX_HEAD)
        if end < 0:
            if len(self._buffer) >= _MAX_HEAD:
                raise garbled(f"no frame starts with {bytes(self._buffer[:40])!r}")
            return None
        head = bytes(self._buffer[: end + 1])
        match = _HEAD.fullmatch(head)
        if match is None:
            raise garbled(f"no frame starts with {head[:80]!r}")
        length = int(match["length"])
        if length > _MAX_PAYLOAD:
            raise garbled(f"a frame of {length} bytes")
        keys = _parse_keys(match["type"].decode(), match["keys"])
        if len(self._buffer) < end + 1 + length:
            return None
        payload = bytes(self._buffer[end + 1 : end + 1 + length])
        del self._buffer[: end + 1 + length]
        return Frame(match["type"].decode(), keys, payload)


class AgentChannel:
    """A connected stream socket with a guest agent at its other end.

    The channel owns the socket; use it as a context manager, or :meth:`close` it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._parser = FrameParser()
        self._socket.setblocking(False)

    def __enter__(self) -> AgentChannel:
        return self

    def __exit__(self, *_details: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket; the agent forgets a job it was still reading and waits anew."""
        self._socket.close()

    def wait_ready(
        self, deadline: Deadline, *, check_alive: Callable[[], None] | None = None
    ) -> str:
        """Wait until the agent of a booting guest announces itself; returns ``uname -r``.

        A guest restored from a template announced itself before it was saved: give it a job
        without waiting. ``check_alive`` as in :meth:`run`.
        """
        frame = self._receive(deadline, check_alive)
        if frame.type != "ready":
            raise garbled(f"expected the agent to announce itself, not `{frame.type}`")
        _check_ready(frame)
        return frame.keys["release"]

    def run(
        self, job: Job, deadline: Deadline, *, check_alive: Callable[[], None] | None = None
    ) -> JobResult:
        """Have a job done and return everything it left behind, whatever its exit status.

        ``check_alive`` is called several times a second while the guest is busy, to raise when
        there is no more reason to wait (a splat on the console, a dead QEMU). Raises
        :class:`WorkloadFailed` when the agent could not do the job as asked (no such program, a
        sysctl that does not exist), :class:`GuestLost` when the channel ends or carries garbage,
        :class:`GuestTimeout` at the deadline.
        """
        self._send(encode(job), deadline, check_alive)
        collected = _Collector()
        while collected.result is None:
            collected.take(self._receive(deadline, check_alive))
        return collected.result

    def _send(
        self, data: bytes, deadline: Deadline, check_alive: Callable[[], None] | None
    ) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                self._wait(deadline, check_alive, for_write=True)
            except OSError as error:
                raise _gone(error) from error

    def _receive(self, deadline: Deadline, check_alive: Callable[[], None] | None) -> Frame:
        while True:
            frame = self._parser.next()
            if frame is not None:
                return frame
            try:
                data = self._socket.recv(1 << 18)
            except BlockingIOError:
                self._wait(deadline, check_alive)
                continue
            except OSError as error:
                raise _gone(error) from error
            if not data:
                raise _gone(None, self._parser.pending)
            self._parser.feed(data)

    def _wait(
        self,
        deadline: Deadline,
        check_alive: Callable[[], None] | None,
        *,
        for_write: bool = False,
    ) -> None:
        """Sleep until the socket is ready, calling ``check_alive`` and minding the deadline."""
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT if for_write else select.POLLIN)
        while True:
            if check_alive is not None:
                check_alive()
            deadline.check()
            pause = min(_WATCH_EVERY, deadline.remaining())
            if poll.poll(pause * 1000):
                return


class _Collector:
    """Folds the frames of one job into a :class:`JobResult`."""

    def __init__(self) -> None:
        self.result: JobResult | None = None
        self._samples: list[Sample] = []
        self._values: list[Value] = []
        self._output = bytearray()
        self._dropped = 0
        self._started = False

    def take(self, frame: Frame) -> None:
        match frame.type:
            case "ready":
                # The agent announces itself again to every host that connects; a fork's does.
                if self._started:
                    raise GuestLost("the guest agent started anew in the middle of a job")
                _check_ready(frame)
                return
            case "output":
                room = _MAX_OUTPUT - len(self._output)
                self._output += frame.payload[:room]
                self._dropped += max(0, len(frame.payload) - room)
            case "phase":
                frame.number("time_ns")
            case "sample":
                self._samples.append(_sample(frame))
            case "value":
                self._values.append(_value(frame))
            case "exit":
                self.result = JobResult(_status(frame), self._samples, self._values, self._text())
            case "error":
                raise WorkloadFailed(
                    f"the guest agent could not do the job: {decode(frame.payload)}",
                    excerpt=self._text() or None,
                    hint="Check the job's program, writes and sources against the guest's kernel.",
                )
        self._started = True

    def _text(self) -> str:
        text = decode(bytes(self._output))
        return f"{text}\n[... and {self._dropped} bytes more]\n" if self._dropped else text


def _check_ready(frame: Frame) -> None:
    if frame.number("protocol") != PROTOCOL:
        raise UserError(
            f"the image's agent speaks protocol {frame.keys['protocol']}, this driver {PROTOCOL}",
            hint="Rebuild the image: driver build image.",
        )


def _sample(frame: Frame) -> Sample:
    process = frame.number("process") if "process" in frame.keys else None
    return Sample(
        phase=frame.keys["phase"],
        source=frame.keys["source"],
        process=process,
        time_ns=frame.number("time_ns"),
        text=decode(frame.payload),
    )


def _value(frame: Frame) -> Value:
    try:
        number = float(frame.keys["value"])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise garbled(f"value={frame.keys['value']!r} is not a number")
    return Value(frame.keys["phase"], frame.keys["name"], frame.keys["unit"], number)


def _status(frame: Frame) -> int:
    if len(frame.keys) != 1:
        raise garbled("exit: carries neither a status nor a signal, or both")
    return frame.number("status") if "status" in frame.keys else -frame.number("signal")


def _gone(error: OSError | None, pending: int = 0) -> GuestLost:
    cut = f", {pending} bytes into a frame" if pending else ""
    why = f": {error}" if error else ""
    return GuestLost(
        f"the guest agent's channel was closed without a verdict{cut}{why}",
        hint="Look at the console log and at QEMU's own messages.",
    )


def _parse_keys(frame_type: str, text: bytes) -> dict[str, str]:
    if frame_type not in _KEYS:
        raise garbled(f"unknown frame type `{frame_type}`")
    keys: dict[str, str] = {}
    for item in text.split():
        name, _, word = item.partition(b"=")
        if _ESCAPE.search(word):
            raise garbled(f"{frame_type}: malformed escape in {word!r}")
        key = name.decode("ascii")
        if key in keys:
            raise garbled(f"{frame_type}: {key} given twice")
        keys[key] = decode(unquote_to_bytes(word))
    required, optional = _KEYS[frame_type]
    if not required <= keys.keys() <= required | optional:
        raise garbled(f"{frame_type}: carries {sorted(keys)}, should carry {sorted(required)}")
    return keys


def decode(data: bytes) -> str:
    """Text from a guest, whatever bytes it holds."""
    return data.decode("utf-8", "replace")


def garbled(what: str) -> GuestLost:
    """The error for a channel that carries something no agent says."""
    return GuestLost(
        f"the guest agent's channel carries garbage: {what}",
        hint="Look at the console log: a kernel that corrupts memory does this.",
    )
