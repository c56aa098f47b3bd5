# SPDX-License-Identifier: Apache-2.0
"""What a kernel has logged, read from the memory of its guest: for kernels that die before they
have a console.

The layout is that of kernel/printk/printk_ringbuffer.[ch] since Linux 5.10.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# A block of the text ring is the identifier of its record, an unsigned long, and the text; blocks
# begin at multiples of the size of that.
_WORD = 8
# struct printk_info begins with seq, ts_nsec and text_len.
_INFO = struct.Struct("<QQH")
# struct prb_desc: a state and the two ends of a block.
DESCRIPTOR_BYTES = 24


@dataclass(frozen=True)
class Message:
    """One record of the kernel's log; ``seconds`` is its time stamp."""

    seconds: float
    text: str

    def __str__(self) -> str:
        """As a console shows it."""
        return f"[{self.seconds:12.6f}] {self.text}"


def messages(texts: bytes, infos: bytes, count: int) -> list[Message]:
    """The records in a ring buffer of the kernel's log that has not wrapped yet.

    ``texts`` is ``__log_buf`` and ``infos`` the printk_info of the ``count`` records that it has
    room for. A block says nowhere how long it is: the next one begins where the next identifier
    stands. Of what is no such buffer, nothing is found.
    """
    found: list[Message] = []
    if not count or len(infos) < count * _INFO.size:
        return found
    size = len(infos) // count
    start = 0
    while start + _WORD < len(texts):
        (identifier,) = struct.unpack_from("<Q", texts, start)
        _, nanoseconds, length = _INFO.unpack_from(infos, identifier % count * size)
        text = texts[start + _WORD : start + _WORD + length]
        if not text or b"\0" in text:
            break
        found.append(Message(nanoseconds / 1e9, text.decode("utf-8", "replace").rstrip("\n")))
        following = struct.pack("<Q", (identifier + 1) % (1 << 64))
        start = texts.find(following, start + _WORD + length)
        while start != -1 and start % _WORD:
            start = texts.find(following, start + 1)
        if start == -1:
            break
    return found
