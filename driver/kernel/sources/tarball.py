# SPDX-License-Identifier: Apache-2.0
"""Kernel source from a tarball whose digest the user vouches for."""

from __future__ import annotations

import hashlib
import re
import shlex
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
from driver.text import reason

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
        reporter.step(f"Fetching {label}")
        received = _download(url, archive, reporter)
        if received != digest:
            raise UserError(
                f"{url} has the SHA-256 digest {received}, not {digest}",
                hint="Check the digest with the publisher of the tarball before changing it.",
            )
        reporter.step(f"Unpacking {label}")
        try:
            run(["tar", "-C", folder, "--no-same-owner", "-xf", archive])
        except CommandFailed as failure:
            raise UserError(
                f"tar cannot unpack {url}",
                excerpt=failure.excerpt,
                hint="Name an archive of a kernel tree, such as linux-6.12.tar.xz.",
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
            f"cannot fetch {url}: no source can be fetched from `{scheme}:`",
            hint="Use an http, https or file URL, or clone it yourself and use --source DIR.",
        )
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if match is None:
        raise UserError(
            f"a tarball needs its digest: none, or no valid one, follows {url}",
            hint=f"Write --source {shlex.quote(f'{url}#sha256=HEX')} with the 64 digits that "
            "`sha256sum` prints for HEX.",
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
        cause = getattr(error, "reason", None)
        why = reason(cause if isinstance(cause, Exception) else error)
        raise HostError(
            f"cannot fetch {url}: {why}", hint="Check the address and the network."
        ) from error
    return digest.hexdigest()
