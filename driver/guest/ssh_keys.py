# SPDX-License-Identifier: Apache-2.0
"""SSH keys for one template: ours to log in with, the guest's to be recognised by."""

from __future__ import annotations

import base64
import io
import struct
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from driver.image import cpio

_TYPE = b"ssh-ed25519"


@dataclass(frozen=True)
class Keys:
    """A pair for the user and one for the host; every template has new ones.

    ``login`` is the user's private key in OpenSSH's format; ``host_key`` the host's public key,
    base64 as in a known_hosts file.
    """

    login: str
    authorized: str
    host_private: bytes
    host_key: str

    @classmethod
    def generate(cls) -> Keys:
        """Fresh keys from the host's entropy."""
        login, host = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        return cls(
            login=login.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(
                "ascii"
            ),
            authorized=f"{_TYPE.decode()} {_public(login)} driver\n",
            host_private=_dropbear(host),
            host_key=_public(host),
        )

    def archive(self, path: Path) -> None:
        """Write them as an initramfs archive, to be appended to the image."""
        cpio.write(
            path,
            {
                "/etc/dropbear/host_key": cpio.File(self.host_private, 0o600),
                "/root": cpio.Directory(0o700),
                "/root/.ssh": cpio.Directory(0o700),
                "/root/.ssh/authorized_keys": cpio.File(self.authorized.encode(), 0o600),
            },
        )

    def as_text(self) -> str:
        """What a client needs, for a file of the template's."""
        return f"{self.host_key}\n{self.login}"


@dataclass(frozen=True)
class Login:
    """What a client needs: the private key, the host key to expect, and the user's name."""

    key: str
    host_key: str
    user: str = "root"

    @classmethod
    def from_text(cls, text: str) -> Login:
        host_key, _, key = text.partition("\n")
        return cls(key=key, host_key=host_key)

    def key_file(self) -> io.StringIO:
        return io.StringIO(self.key)


def _raw_public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _public(key: Ed25519PrivateKey) -> str:
    """RFC 8709: the type and the 32 bytes of the public key, each with its length."""
    return base64.b64encode(_field(_TYPE) + _field(_raw_public(key))).decode("ascii")


def _dropbear(key: Ed25519PrivateKey) -> bytes:
    """Dropbear's own format: the type, then the private and the public bytes as one string."""
    seed = key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    return _field(_TYPE) + _field(seed + _raw_public(key))


def _field(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
