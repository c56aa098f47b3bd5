# SPDX-License-Identifier: Apache-2.0
"""SSH keys: what the guest gets and what the client expects belong together."""

from __future__ import annotations

import base64
import struct
from pathlib import Path

import paramiko
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from driver.guest.ssh_keys import Keys, Login


def fields(blob: bytes) -> list[bytes]:
    found = []
    while blob:
        (length,) = struct.unpack(">I", blob[:4])
        found.append(blob[4 : 4 + length])
        blob = blob[4 + length :]
    return found


def test_the_client_holds_the_key_that_the_guest_lets_in() -> None:
    keys = Keys.generate()
    login = Login.from_text(keys.as_text())
    client = paramiko.Ed25519Key.from_private_key(login.key_file())
    assert keys.authorized.split()[:2] == ["ssh-ed25519", client.get_base64()]


def test_the_guest_holds_the_key_that_the_client_expects() -> None:
    keys = Keys.generate()
    kind, private = fields(keys.host_private)
    assert kind == b"ssh-ed25519"
    host = Ed25519PrivateKey.from_private_bytes(private[:32])
    public = host.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    assert private[32:] == public
    assert fields(base64.b64decode(keys.host_key)) == [b"ssh-ed25519", public]


def test_no_two_templates_share_a_key() -> None:
    one, other = Keys.generate(), Keys.generate()
    assert one.login != other.login
    assert one.host_key != other.host_key


def test_the_archive_holds_both_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    keys = Keys.generate()
    keys.archive(tmp_path / "keys.cpio")
    content = (tmp_path / "keys.cpio").read_bytes()
    assert keys.host_private in content
    assert keys.authorized.encode() in content
    assert keys.login.encode() not in content
    modes = {
        name: int(content[content.index(name) - 110 + 14 : content.index(name) - 110 + 22], 16)
        for name in (b"etc/dropbear/host_key\0", b"root/.ssh/authorized_keys\0", b"root/.ssh\0")
    }
    assert [mode & 0o777 for mode in modes.values()] == [0o600, 0o600, 0o700]
