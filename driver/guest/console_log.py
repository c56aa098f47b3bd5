# SPDX-License-Identifier: Apache-2.0
"""The log that QEMU keeps of a guest's serial console."""

from __future__ import annotations

from pathlib import Path

from driver.guest.splat_classifier import Classifier, Splat
from driver.text import last_lines

_TAIL_LINES = 25


class ConsoleLog:
    """A guest's console log, classified as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._classifier = Classifier()
        self._read = 0

    @property
    def splats(self) -> list[Splat]:
        """What the kernel has complained about so far, in order."""
        return self._classifier.splats

    @property
    def collecting(self) -> bool:
        """Whether the latest splat is still being printed."""
        return self._classifier.collecting

    @property
    def bytes_read(self) -> int:
        """How much has been printed, at the last look."""
        return self._read

    def poll(self) -> bool:
        """Look at what has been printed since the last call; whether there was anything."""
        try:
            with self.path.open("rb") as log:
                log.seek(self._read)
                new = log.read()
        except FileNotFoundError:  # QEMU has not got that far
            return False
        self._read += len(new)
        self._classifier.feed(new.decode("utf-8", "replace"))
        return bool(new)

    def finish(self) -> None:
        """The guest is gone: judge the rest, complete or not."""
        self.poll()
        self._classifier.finish()

    def text(self) -> str:
        """Everything printed so far, with Unix line ends."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return ""
        return raw.decode("utf-8", "replace").replace("\r", "")

    def tail(self, lines: int = _TAIL_LINES) -> str:
        """The last lines, for a message."""
        return last_lines(self.text(), lines)
