# SPDX-License-Identifier: Apache-2.0
"""The driver's end of the guest agent's channel: a job goes in, its frames come back."""

from __future__ import annotations

import logging
import math
import select
import shlex
import socket
from collections.abc import Callable

from driver.deadline import Deadline
from driver.errors import GuestLost, UserError, WorkloadFailed
from driver.guest.agent_protocol import Frame, FrameParser, decode, garbled
from driver.guest.job import PROTOCOL, Job, JobResult, Sample, Value, encode
from driver.text import counted, reason

_log = logging.getLogger(__name__)

# Seconds between two calls of a waiting caller's `check_alive`.
_WATCH_EVERY = 0.1
# A job that prints more than this is out of control; the rest is counted, not kept.
_MAX_OUTPUT = 16 << 20


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
        """Close the socket; the agent forgets a job it was still reading and waits for the next."""
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
        _log.debug("-> job: %s", shlex.join(job.argv))
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
                _log.debug("<- %s %s, %d bytes", frame.type, frame.keys, len(frame.payload))
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
                    raise GuestLost("the guest agent restarted in the middle of a job")
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
            f"the guest agent of the image speaks protocol {frame.keys['protocol']}, this "
            f"driver {PROTOCOL}",
            hint="Rebuild the image: driver build image",
        )


def _sample(frame: Frame) -> Sample:
    process = frame.number("process") if "process" in frame.keys else None
    return Sample(
        phase=frame.keys["phase"],
        source=frame.keys["source"],
        process=process,
        time_ns=frame.number("time_ns"),
        text=decode(frame.payload),
        settled="unsettled" not in frame.keys,
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
    cut = f", {counted(pending, 'byte')} into a frame" if pending else ""
    why = f": {reason(error)}" if error else ""
    return GuestLost(
        f"the guest agent's channel was closed before the job ended{cut}{why}",
        hint="Look at the console log and at QEMU's own messages.",
    )
