# SPDX-License-Identifier: Apache-2.0
"""The little of Dask.distributed that a driver uses: who is there, and a function called there.

A task is bound to one host and returns bytes. It is submitted with no retries of Dask's own: what
is tried again, and where, is for the executor to decide.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from driver.errors import HostError
from driver.text import reason

if TYPE_CHECKING:
    from distributed import Client, Future

_log = logging.getLogger(__name__)

RESOURCE = "guests"
# Seconds without an answer from the scheduler after which it counts as gone.
_SCHEDULER_PATIENCE = 60.0
_ANSWER = 5.0
# ... and to bring the answer of a task, which is at most some MB, from its host.
_FETCH = 120.0
# Preparing a host's guests may build nothing and boots several: minutes on a busy host.
_MOST_SECONDS = 1800.0


class Gone(Exception):
    """The host that a task was bound to has left the cluster."""


class Cancelled(Gone):
    """A task was cancelled: by this driver, or because its connection was lost."""


@dataclass(frozen=True)
class WorkerInfo:
    """A Dask worker. ``last_seen`` is by the scheduler's clock, and only compared with itself."""

    name: str
    address: str
    slots: int
    last_seen: float


class DaskClient:
    """A connection to a scheduler; safe to use from several threads."""

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self.address = address
        self._answered = time.monotonic()
        self._present: frozenset[str] = frozenset()

    @property
    def dashboard(self) -> str:
        """Where Dask shows what its hosts do."""
        return str(self._client.dashboard_link)

    def workers(self) -> list[WorkerInfo] | None:
        """Who is there; None if the scheduler does not answer at this moment.

        Raises :class:`HostError` if it has not for a minute.
        """
        try:
            scheduler: Any = self._client.scheduler
            found: dict[str, Any] = self._client.sync(
                scheduler.identity, n_workers=-1, callback_timeout=_ANSWER
            )
        # Dask raises its own CommClosedError, an OSError, and plain timeouts; and there is no
        # `scheduler` while it connects again.
        except (OSError, TimeoutError, CancelledError, ValueError, AttributeError) as error:
            self._check_scheduler(error)
            return None
        self._answered = time.monotonic()
        workers = [
            WorkerInfo(
                name=str(info["name"]),
                address=address,
                slots=int(info.get("resources", {}).get(RESOURCE, 0)),
                last_seen=float(info["last_seen"]),
            )
            for address, info in found["workers"].items()
            if info.get("status") in ("running", "paused")
        ]
        self._present = frozenset(info.address for info in workers)
        return workers

    def submit(
        self, address: str, function: Callable[..., bytes], *args: Any, guests: int = 0
    ) -> Future[bytes]:
        """Call a function on a host; ``guests`` is how many of its places for guests that takes."""
        key = f"{function.__name__}-{uuid.uuid4().hex}"
        try:
            return self._client.submit(
                function,
                *args,
                key=key,
                workers=[address],
                allow_other_workers=False,
                resources={RESOURCE: guests} if guests else None,
                retries=0,
                pure=False,
            )
        except Exception as error:  # of a class that not every release of Dask has
            self._check_scheduler(error)
            raise

    def call(
        self,
        address: str,
        function: Callable[..., bytes],
        *args: Any,
        guests: int = 0,
        seconds: float = _MOST_SECONDS,
    ) -> bytes:
        """The answer of a function on a host; raises as :meth:`answer`."""
        return self.answer(self.submit(address, function, *args, guests=guests), address, seconds)

    def answer(self, future: Future[bytes], address: str, seconds: float = _MOST_SECONDS) -> bytes:
        """Wait for a task's bytes.

        Raises :class:`Gone` when its host leaves, and :class:`HostError` for anything else that is
        no answer.
        """
        done = threading.Event()
        future.add_done_callback(lambda _future: done.set())
        end = time.monotonic() + seconds
        try:
            # Not by `result(timeout=...)`: a task that ends as that passes makes it fail.
            while not done.wait(1):
                self._check_waiting(address, end, seconds)
            found = future.result(timeout=_FETCH)
        except (Gone, HostError):
            raise
        except CancelledError as error:
            raise Cancelled("the connection to the scheduler was lost") from error
        except Exception as error:
            raise HostError(f"its task failed: {type(error).__name__}: {reason(error)}") from error
        finally:
            future.release()
        if not isinstance(found, bytes):
            raise HostError(f"it answered with {type(found).__name__} instead of bytes")
        return found

    def _check_waiting(self, address: str, end: float, seconds: float) -> None:
        if self._present and address not in self._present:
            raise Gone("it has left the cluster")
        if time.monotonic() > end:
            raise HostError(f"no answer within {seconds:.0f} s")

    def scatter(self, content: bytes, address: str) -> Future[bytes]:
        """Put bytes into the memory of a host."""
        future: Future[bytes]
        (future,) = self._client.scatter([content], workers=[address], hash=False)
        return future

    def cancel(self, futures: Sequence[Future[bytes]]) -> None:
        """Tell hosts that nobody wants these tasks any more."""
        try:
            self._client.cancel(futures, force=True)
        except Exception as error:  # the scheduler may be gone, and with it the tasks
            _log.info("cancelling: %s", error)

    def _check_scheduler(self, error: BaseException) -> None:
        silent = time.monotonic() - self._answered
        closed = self._client.status in ("closed", "closing")
        if closed or silent > _SCHEDULER_PATIENCE:
            raise HostError(
                f"the scheduler at {self.address} does not answer any more: {reason(error)}",
                hint="Start it and its hosts again, and resume the run.",
            ) from error
