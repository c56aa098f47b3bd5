# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates with which driver, scheduler and hosts know each other.

One certificate authority signs a certificate for each role. Who holds any of the three may run
programs on every host of the cluster: Dask does not tell roles apart. The authority's own key signs
further ones and can stay at home.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from driver.errors import UserError

ROLES = ("driver", "scheduler", "worker")
AUTHORITY, AUTHORITY_KEY = "ca.pem", "ca-key.pem"
_YEARS = 3
# Clocks of hosts differ: certificates are valid from some days before they were made.
_CLOCK_SKEW = datetime.timedelta(days=3)


def make_keys(folder: Path) -> list[Path]:
    """Write an authority and a certificate with its key for each role; returns the files.

    Raises :class:`UserError` for a folder that has keys already: hosts may hold copies of them.
    """
    from cryptography import x509  # noqa: PLC0415  (a tenth of a second)
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import NameOID  # noqa: PLC0415

    if any((folder / name).exists() for name in (AUTHORITY, AUTHORITY_KEY)):
        raise UserError(
            f"{folder} already holds keys",
            hint="Name another folder, or remove these keys: hosts can then not use their copies.",
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    start = datetime.datetime.now(datetime.UTC) - _CLOCK_SKEW
    end = start + datetime.timedelta(days=365 * _YEARS)

    def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
        return key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def certificate(
        name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(start)
            .not_valid_after(end)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )

    root = ec.generate_private_key(ec.SECP256R1())
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "driver cluster")])
    signed = (
        certificate("driver cluster", root, authority=True)
        .issuer_name(own_name)
        .sign(root, hashes.SHA256())
    )
    files = [
        _write(folder / AUTHORITY, signed.public_bytes(serialization.Encoding.PEM)),
        _write(folder / AUTHORITY_KEY, pem(root)),
    ]
    for role in ROLES:
        key = ec.generate_private_key(ec.SECP256R1())
        signed = (
            certificate(role, key, authority=False)
            .issuer_name(own_name)
            .sign(root, hashes.SHA256())
        )
        content = pem(key) + signed.public_bytes(serialization.Encoding.PEM)
        files.append(_write(folder / f"{role}.pem", content))
    return files


def certificate_of(folder: Path, role: str) -> tuple[Path, Path]:
    """The authority's certificate, and certificate and key of a role in one file.

    Raises :class:`UserError` if one of them is missing or may not be read.
    """
    found = (folder / AUTHORITY, folder / f"{role}.pem")
    for path in found:
        if not os.access(path, os.R_OK):
            raise UserError(
                f"{path} is missing or not readable",
                hint="Copy the keys of the cluster, or make some: driver cluster keys DIR",
            )
    return found


def _write(path: Path, content: bytes) -> Path:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    return path
