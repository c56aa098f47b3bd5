# SPDX-License-Identifier: Apache-2.0
"""Artifacts that travel: whole, checked, and published in one step, or not at all."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from driver.artifacts import KernelArtifact
from driver.cluster import parcels
from driver.cluster.messages import FileDigests
from driver.cluster.portable import artifacts_in, pack, unpack
from driver.errors import HostError
from driver.store import Artifact, Store

INPUTS = {"series": "none"}
SPARSE = 40 << 20


@pytest.fixture
def sender(tmp_path: Path) -> Store:
    return Store(tmp_path / "sender")


@pytest.fixture
def receiver(tmp_path: Path) -> Store:
    return Store(tmp_path / "receiver")


def made(store: Store, seed: int = 1) -> Artifact:
    def make(folder: Path) -> Mapping[str, Any]:
        noise = random.Random(seed)
        (folder / "config").write_bytes(b"CONFIG_X=y\n")
        (folder / "empty").touch()
        (folder / "sub").mkdir()
        with (folder / "sub/vmlinux").open("wb") as file:
            file.write(noise.randbytes(9 << 20))
            file.seek(SPARSE - 1000)
            file.write(noise.randbytes(500))
            file.truncate(SPARSE)
        return {"release": "6.12.1"}

    return store.get("kernel", INPUTS, make)


def send(artifact: Artifact, to: Store, *, damage: bool = False) -> int:
    """As the driver does, without anything between; returns the bytes that were sent."""
    wanted, folder, sent = parcels.describe(artifact), parcels.incoming(to, "t1"), 0
    sizes = {}
    for name in wanted.files:
        path = artifact.path / name
        sizes[name] = path.stat().st_size
        for offset in parcels.pieces(path):
            piece = parcels.read_piece(path, offset)
            if damage and offset == 0 and name == "config":
                piece = zlib.compress(b"CONFIG_Y=y\n")
            parcels.write_piece(folder, name, offset, piece)
            sent += len(piece)
    parcels.publish(to, wanted, sizes, folder)
    return sent


def test_an_artifact_arrives_whole(sender: Store, receiver: Store) -> None:
    artifact = made(sender)
    wanted = parcels.describe(artifact)
    assert parcels.lacking(receiver, wanted)
    sent = send(artifact, receiver)
    assert 9 << 20 < sent < 10 << 20, "holes travel for nothing"
    assert not parcels.lacking(receiver, wanted)
    found = receiver.recall("kernel", artifact.digest)
    assert found is not None
    assert found.facts == artifact.facts
    assert parcels.describe(found) == wanted
    assert (found.path / "sub/vmlinux").stat().st_blocks * 512 < SPARSE // 2
    assert not list((receiver.root / "scratch/cluster/incoming").iterdir())


def test_a_damaged_piece_leaves_nothing(sender: Store, receiver: Store) -> None:
    artifact = made(sender)
    with pytest.raises(HostError, match=r"config of kernel .* arrived damaged"):
        send(artifact, receiver, damage=True)
    assert receiver.recall("kernel", artifact.digest) is None
    assert not list((receiver.root / "scratch/cluster/incoming").iterdir())
    assert not list((receiver.root / "tmp").iterdir())
    send(artifact, receiver)


def test_the_same_inputs_with_other_bytes_are_replaced(sender: Store, receiver: Store) -> None:
    """Two hosts that compiled the same kernel: its guests would differ to the byte."""
    artifact, other = made(sender, seed=1), made(receiver, seed=2)
    assert artifact.digest == other.digest
    assert parcels.lacking(receiver, parcels.describe(artifact))
    assert receiver.recall("kernel", artifact.digest) is None
    send(artifact, receiver)
    assert not parcels.lacking(receiver, parcels.describe(artifact))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "artifact.json", "sub/../../x"])
def test_no_file_lands_outside(name: str, tmp_path: Path, receiver: Store) -> None:
    folder = parcels.incoming(receiver, "t1")
    with pytest.raises(HostError, match="cannot be a file of an artifact"):
        parcels.write_piece(folder, name, 0, zlib.compress(b"x"))
    assert not (tmp_path / "outside").exists()
    with pytest.raises(HostError, match="cannot be the name of a transfer"):
        parcels.incoming(receiver, "../t1")


def test_a_piece_cannot_grow(receiver: Store) -> None:
    bomb = zlib.compress(bytes(parcels.PIECE + 1))
    with pytest.raises(HostError, match="longer than a piece"):
        parcels.write_piece(parcels.incoming(receiver, "t1"), "x", 0, bomb)


def test_another_name_than_the_inputs_say(sender: Store, receiver: Store) -> None:
    wanted = parcels.describe(made(sender))
    lie = FileDigests(**{**wanted.model_dump(), "inputs": {"series": "another"}})
    with pytest.raises(HostError, match="has inputs of another digest"):
        parcels.publish(receiver, lie, {}, parcels.incoming(receiver, "t1"))


def test_paths_are_those_of_the_other_cache(sender: Store, receiver: Store) -> None:
    folder = made(sender).path
    kernel = KernelArtifact(
        "d", "6.12.1", folder / "vmlinux", folder / "bzImage", folder / "c", folder / "l", {"a": 1}
    )
    packed = pack(kernel, sender.root)
    assert artifacts_in(packed) == {("kernel", folder.name)}
    assert unpack(KernelArtifact, packed, sender.root) == kernel
    there = unpack(KernelArtifact, packed, receiver.root)
    assert there.vmlinux == receiver.root / "kernel" / folder.name / "vmlinux"
    packed["vmlinux"] = {"$path": "kernel/x/../../../etc/passwd"}
    with pytest.raises(HostError, match="cannot be a file of an artifact"):
        unpack(KernelArtifact, packed, receiver.root)
    boot = Path("/boot/vmlinuz")
    outside = KernelArtifact("d", "6.12.1", boot, boot, boot, boot, {})
    with pytest.raises(HostError, match="outside the cache"):
        pack(outside, sender.root)
