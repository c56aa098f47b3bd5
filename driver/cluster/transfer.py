# SPDX-License-Identifier: Apache-2.0
"""Giving hosts the artifacts they lack: once from the driver, then from host to host.

The pieces travel as Dask's data do, over its connections and under its keys.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from driver.cluster import host as tasks
from driver.cluster import parcels
from driver.cluster.dask_client import DaskClient, Gone
from driver.cluster.messages import FileDigests, Written
from driver.errors import HostError
from driver.store import Artifact

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shipment:
    """An artifact of the driver's store that every host must have."""

    digests: FileDigests
    path: Path

    @classmethod
    def of(cls, artifact: Artifact) -> Shipment:
        return cls(parcels.describe(artifact), artifact.path)


@dataclass
class Moved:
    """How many bytes a host was sent, as they were sent, and from whom."""

    host: str
    artifact: str
    sender: str
    sent: int = 0


@dataclass(frozen=True)
class _Piece:
    """A piece of a file of an artifact."""

    shipment: Shipment
    file: str
    offset: int


@dataclass
class Shipper:
    """Sends artifacts to hosts. ``ready`` names the addresses of those that may be asked."""

    client: DaskClient
    ready: Callable[[], Iterable[str]]
    moved: list[Moved] = field(default_factory=list)
    _holders: dict[str, list[str]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def has(self, shipment: Shipment, address: str) -> None:
        """A host has an artifact, and others may fetch it there."""
        with self._lock:
            self._holders.setdefault(shipment.digests.digest, []).append(address)

    def send(self, shipment: Shipment, address: str, name: str) -> None:
        """Give a host an artifact: from another host if one has it, or else from here.

        Raises :class:`HostError` if it does not arrive whole, and :class:`Gone` if the host leaves.
        """
        source = self._holder(shipment)
        if source is not None:
            try:
                self._send(shipment, address, name, source)
            except (HostError, Gone) as error:
                _log.info("fetching from %s: %s; sending it from here", source, error)
            else:
                return
        self._send(shipment, address, name, None)

    def _send(self, shipment: Shipment, address: str, name: str, source: str | None) -> None:
        transfer, wanted = uuid.uuid4().hex, shipment.digests
        moved = Moved(name, f"{wanted.kind} {wanted.digest[:12]}", source or "driver")
        sizes = {}
        for file in wanted.files:
            path = shipment.path / file
            sizes[file] = path.stat().st_size
            for offset in parcels.pieces(path):
                piece = _Piece(shipment, file, offset)
                moved.sent += self._send_piece(piece, transfer, address, name, source)
        said = self.client.call(
            address, tasks.publish, transfer, wanted.text().encode(), json.dumps(sizes).encode()
        )
        if said:
            raise HostError(f"{moved.artifact} from {moved.sender}: {said.decode()}")
        _log.info("sent %s to %s: %d bytes from %s", moved.artifact, name, moved.sent, moved.sender)
        with self._lock:
            self.moved.append(moved)
        self.has(shipment, address)

    def _send_piece(
        self, piece: _Piece, transfer: str, address: str, name: str, source: str | None
    ) -> int:
        """Send a piece and wait until it is on the host's disk; returns the bytes it took."""
        wanted, file, offset = piece.shipment.digests, piece.file, piece.offset
        if source is None:
            packed = parcels.read_piece(piece.shipment.path / file, offset)
            data = self.client.scatter(packed, address)
        else:
            data = self.client.submit(
                source, tasks.read_piece, wanted.kind, wanted.digest, file, offset
            )
        written = self.client.submit(address, tasks.write_piece, transfer, file, offset, data)
        said = Written.read(self.client.answer(written, address), name)
        data.release()
        if said.problem:
            raise HostError(f"{wanted.kind} {wanted.digest[:12]}: {said.problem}")
        return said.size

    def _holder(self, shipment: Shipment) -> str | None:
        """A host to fetch from; the holders take turns."""
        ready = set(self.ready())
        with self._lock:
            holders = self._holders.get(shipment.digests.digest, [])
            for _ in range(len(holders)):
                holders.append(holders.pop(0))
                if holders[-1] in ready:
                    return holders[-1]
        return None
