# SPDX-License-Identifier: Apache-2.0
"""Kernel source from a tarball whose digest the user vouches for."""

from __future__ import annotations

import hashlib
import re
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from driver.errors import HostError, UserError
from driver.kernel.sources import cache
from driver.kernel.sources.source import KernelSource
from driver.process import CommandFailed, run
from driver.progress import Reporter
from driver.store import Store

_CHUNK = 1 << 20
_SILENCE_SECONDS = 60  # how long a server may say nothing


def obtain(store: Store, spec: str, reporter: Reporter) -> KernelSource:
    """The tree in the tarball ``URL#sha256=HEX``, downloaded and unpacked once."""
    url, digest = parse(spec)
    name = f"tarball-{digest[:24]}"
    found = cache.find(store, name)
    if found is not None:
        return found
    label = Path(urllib.parse.urlsplit(url).path).name

    def unpack(folder: Path) -> Path:
        archive = folder / "source.tar"
        reporter.step(f"fetching {label}")
        received = _download(url, archive, reporter)
        if received != digest:
            raise UserError(
                f"{url} has sha256 {received}, not {digest}",
                hint="Check the digest with the publisher of the tarball before changing it.",
            )
        reporter.step(f"unpacking {label}")
        try:
            run(["tar", "-C", folder, "--no-same-owner", "-xf", archive])
        except CommandFailed as failure:
            raise UserError(
                f"{url} cannot be unpacked with tar", excerpt=failure.excerpt
            ) from failure
        archive.unlink()
        entries = list(folder.iterdir())
        return entries[0] if len(entries) == 1 and entries[0].is_dir() else folder

    return cache.add(
        store,
        name,
        label=label,
        origin={"kind": "tarball", "url": url, "sha256": digest},
        unpack=unpack,
        reporter=reporter,
    )


def parse(spec: str) -> tuple[str, str]:
    """Split ``URL#sha256=HEX`` into the URL and the digest; :class:`UserError` if it is neither."""
    url, _, fragment = spec.partition("#")
    scheme = urllib.parse.urlsplit(url).scheme
    if scheme not in {"http", "https", "file"}:
        raise UserError(
            f"cannot fetch a source from `{scheme}:`",
            hint="Use an http, https or file URL, or clone it yourself and use --source DIR.",
        )
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if match is None:
        raise UserError(
            f"a tarball needs its digest: {url} has none behind it, or a malformed one",
            hint=f"Write --source '{url}#sha256=HEX' with the 64 digits `sha256sum` prints.",
        )
    return url, match[1].lower()


def _download(url: str, target: Path, reporter: Reporter) -> str:
    """Fetch ``url`` into ``target``; the sha256 (hex) of what came."""
    digest = hashlib.sha256()
    try:
        with (
            urllib.request.urlopen(url, timeout=_SILENCE_SECONDS) as answer,
            target.open("wb") as out,
        ):
            length = int(answer.headers.get("Content-Length") or 0) or None
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                digest.update(chunk)
                megabytes = out.tell() // _CHUNK
                reporter.progress(megabytes, length and -(-length // _CHUNK), "MiB")
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise HostError(
            f"could not fetch {url}: {reason}", hint="Check the address and the network."
        ) from error
    return digest.hexdigest()
