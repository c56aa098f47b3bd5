# SPDX-License-Identifier: Apache-2.0
"""One deadline, passed down, instead of one timeout per call."""

from __future__ import annotations

import time
from dataclasses import dataclass

from driver.errors import GuestTimeout

TOO_SHORT = (
    "Look at the console log. If the guest was only slow, give it more time: `driver run "
    "experiment` takes --timeout-factor 4."
)


@dataclass(frozen=True)
class Deadline:
    """A point on the monotonic clock by which something must have happened.

    ``what`` names the thing awaited, for the message; ``seconds`` is the whole budget.
    """

    what: str
    seconds: float
    at: float

    @classmethod
    def after(cls, seconds: float, what: str) -> Deadline:
        """A deadline ``seconds`` from now."""
        return cls(what=what, seconds=seconds, at=time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.at - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining() == 0.0

    def check(self) -> None:
        """Raise :class:`GuestTimeout` once the deadline has passed."""
        if self.expired:
            raise GuestTimeout(
                f"{self.what} did not finish within {self.seconds:.0f} s",
                hint=TOO_SHORT,
            )
