# SPDX-License-Identifier: Apache-2.0
"""Kernel source from Debian's ``linux-source-*`` packages, of whatever suite carries them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from driver.apt import newest
from driver.errors import HostError, UserError
from driver.kernel.sources import archive, cache
from driver.kernel.sources.archive import Catalogue, Offer
from driver.kernel.sources.source import KernelSource
from driver.process import explaining, run
from driver.progress import Reporter
from driver.store import Store
from driver.suggestion import did_you_mean


def obtain(store: Store, base: str, version: str | None, reporter: Reporter) -> KernelSource:
    """The newest ``linux-source-<base>`` of all Debian suites, or the given version of it.

    Without a network, the newest one in the cache serves, with a note. Raises
    :class:`UserError` when no suite has the package and :class:`HostError` when it cannot
    be fetched, both only if the cache cannot serve either.
    """
    if version is not None and (found := _cached(store, base, version)):
        return found
    try:
        return _newest(store, base, version, reporter)
    except (UserError, HostError) as error:
        fallback = newest_cached(store, base) if version is None else None
        if fallback is None:
            raise
        reporter.note(f"{error.message}; using {fallback.label} from the cache")
        return fallback


def check(store: Store, base: str, version: str | None) -> None:
    """Raise :class:`UserError` for a package that no suite had when apt was last asked."""
    if _cached(store, base, version) if version else newest_cached(store, base):
        return
    known = archive.recorded(store)
    if known.offers:
        _choose(known, base, version)


def newest_cached(store: Store, base: str) -> KernelSource | None:
    """The newest version of a base that is in the cache."""
    package = f"linux-source-{base}_"
    versions = [name.removeprefix(package) for name in cache.names(store, package)]
    return cache.find(store, package + newest(versions)) if versions else None


def _newest(store: Store, base: str, version: str | None, reporter: Reporter) -> KernelSource:
    offer = _choose(archive.catalogue(store, reporter), base, version)
    try:
        return _cached(store, base, offer.version) or _fetch(store, offer, reporter)
    except archive.NotFetched:
        # Point releases replace each other, and one that is gone from the archive is a 404.
        now = _choose(archive.catalogue(store, reporter, refresh=True), base, version)
        if now == offer:
            raise
        return _cached(store, base, now.version) or _fetch(store, now, reporter)


def _choose(known: Catalogue, base: str, version: str | None) -> Offer:
    """The offer that is meant. Raises :class:`UserError` naming those that there are."""
    if not re.fullmatch(r"\d+\.\d+", base):
        raise UserError(
            f"`{base}` is not a kernel base version",
            hint="Write it as in debian:6.12 or debian:6.12=6.12.117-1~deb12u1.",
        )
    offers = known.of(base)
    if not offers:
        lost = f" Not all suites could be read: {known.problem}" if known.problem else ""
        raise UserError(
            f"no Debian suite carries linux-source-{base}",
            hint=f"Bases that exist: {', '.join(known.bases) or 'none'}.{lost} {archive.ELSEWHERE}",
        )
    if version is None:
        return offers[0]
    for offer in offers:
        if offer.version == version:
            return offer
    versions = [offer.version for offer in offers]
    raise UserError(
        f"no Debian suite carries version {version} of linux-source-{base}",
        hint=did_you_mean(version, versions, "Versions that exist"),
    )


def _cached(store: Store, base: str, version: str) -> KernelSource | None:
    return cache.find(store, f"linux-source-{base}_{version}")


def _fetch(store: Store, offer: Offer, reporter: Reporter) -> KernelSource:
    label = f"{offer.package} {offer.version}"

    def unpack(folder: Path) -> Path:
        reporter.step(f"Fetching {label} from {offer.suites[0]}")
        deb = archive.download(store, offer, folder)
        reporter.step(f"Unpacking {label}")
        with explaining(f"unpack {label}"):
            run(["dpkg-deb", "-x", deb, folder / "package"])
            deb.unlink()
            (tarball,) = (folder / "package/usr/src").glob("linux-source-*.tar.*")
            run(["tar", "-C", folder, "--no-same-owner", "-xf", tarball])
        shutil.rmtree(folder / "package")
        (tree,) = (path for path in folder.iterdir() if path.is_dir())
        return tree

    return cache.add(
        store,
        f"{offer.package}_{offer.version}",
        label=label,
        origin={
            "kind": "debian",
            "package": offer.package,
            "version": offer.version,
            "suites": [*offer.suites],
        },
        unpack=unpack,
        reporter=reporter,
    )
