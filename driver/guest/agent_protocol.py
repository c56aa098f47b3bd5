# SPDX-License-Identifier: Apache-2.0
"""The frames that the guest agent sends (``guest-images/programs/agent/agent.h``).

A stream of ``TYPE LENGTH KEY=WORD ...\\n``, each followed by LENGTH bytes. The guest is not trusted
to be sane: a kernel under test may die in the middle of a frame or scribble over it, so every frame
is checked before it is believed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from driver.errors import GuestLost

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
    "sample": (frozenset({"phase", "source", "time_ns"}), frozenset({"process", "unsettled"})),
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
