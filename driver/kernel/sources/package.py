# SPDX-License-Identifier: Apache-2.0
"""Kernel source from Debian's ``linux-source-*`` packages.

``apt-get download`` needs no root, checks the archive's signature, and uses whatever mirrors and
proxies the machine is set up with.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from driver.atomic_write import write_atomically
from driver.errors import DriverError, HostError, UserError
from driver.kernel.sources import cache
from driver.kernel.sources.source import KernelSource
from driver.process import CommandFailed, run
from driver.progress import Reporter
from driver.store import Store

_HINT_INDEX = (
    "Run `sudo apt-get update`. On Debian 12 the package is in bookworm-security and "
    "bookworm-backports: one of them must be in /etc/apt/sources.list. "
    "Elsewhere use --source DIR or --source URL#sha256=HEX."
)
# As long as none of these changed, apt's answer cannot have changed; asking it takes 0.8 s.
_APT_STATE = (
    "/var/lib/apt/lists",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d",
    "/etc/apt/preferences.d",
)


def obtain(store: Store, base: str, version: str | None, reporter: Reporter) -> KernelSource:
    """The newest ``linux-source-<base>`` apt knows, or the given version of it.

    Without a network, the newest one in the cache serves, with a note. Raises
    :class:`UserError` when apt does not know the package and :class:`HostError` when it cannot
    be fetched, both only if the cache cannot serve either.
    """
    if not re.fullmatch(r"\d+\.\d+", base):
        raise UserError(
            f"`{base}` is not a kernel base version",
            hint="Write it as in debian:6.12 or debian:6.12=6.12.117-1~deb12u1.",
        )
    package = f"linux-source-{base}"
    wanted = version or newest_known(store, package)
    if wanted is not None:
        found = cache.find(store, f"{package}_{wanted}")
        if found is not None:
            return found
    try:
        return _fetch(store, package, wanted, reporter)
    except (UserError, HostError) as error:
        fallback = _newest_cached(store, package) if version is None else None
        if fallback is None:
            raise
        reporter.note(f"{error.message}; using {fallback.label} from the cache")
        return fallback


def newest_known(store: Store, package: str) -> str | None:
    """The newest version in apt's index (no network); None when it has none, or there is no apt."""
    stamp = [[path, Path(path).stat().st_mtime_ns] for path in _APT_STATE if Path(path).exists()]
    pointer = cache.folder(store) / f"{package}.json"
    try:
        remembered = json.loads(pointer.read_text(encoding="utf-8"))
        if remembered["stamp"] == stamp:
            return str(remembered["version"])
    except (OSError, ValueError, KeyError):
        pass
    if shutil.which("apt-cache") is None:
        return None
    listing = run(["apt-cache", "madison", package], env={"LC_ALL": "C"}, check=False).stdout
    versions = [
        fields[1].strip() for line in listing.splitlines() if (fields := line.split("|"))[1:]
    ]
    if not versions:
        return None
    newest = max(versions, key=_order)
    write_atomically(pointer, json.dumps({"stamp": stamp, "version": newest}))
    return newest


def _newest_cached(store: Store, package: str) -> KernelSource | None:
    cached = cache.names(store, f"{package}_")
    return cache.find(store, max(cached, key=_order)) if cached else None


def _order(version: str) -> list[tuple[int, str]]:
    """Compare digits as numbers: enough for versions of one package, where epochs agree.

    A tilde sorts before the end of the string in Debian; "~" is replaced to do so here.
    """
    parts = re.findall(r"\d+|\D+", version.replace("~", "\0"))
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _fetch(store: Store, package: str, version: str | None, reporter: Reporter) -> KernelSource:
    if version is None:
        raise UserError(f"apt does not know the package {package}", hint=_HINT_INDEX)

    def unpack(folder: Path) -> Path:
        reporter.step(f"fetching {package} {version}")
        _download(package, version, folder)
        (deb,) = folder.glob("*.deb")
        reporter.step(f"unpacking {package} {version}")
        run(["dpkg-deb", "-x", deb, folder / "package"])
        deb.unlink()
        (archive,) = (folder / "package/usr/src").glob("linux-source-*.tar.*")
        run(["tar", "-C", folder, "--no-same-owner", "-xf", archive])
        shutil.rmtree(folder / "package")
        (tree,) = (path for path in folder.iterdir() if path.is_dir())
        return tree

    return cache.add(
        store,
        f"{package}_{version}",
        label=f"{package} {version}",
        origin={"kind": "debian", "package": package, "version": version},
        unpack=unpack,
        reporter=reporter,
    )


def _download(package: str, version: str, folder: Path) -> None:
    try:
        run(["apt-get", "download", f"{package}={version}"], cwd=folder, env={"LC_ALL": "C"})
    except CommandFailed as failure:
        complaint = re.search(r"^E: (.*)", failure.output, re.M)
        raise _explain(package, version, complaint[1] if complaint else failure.output) from failure


def _explain(package: str, version: str, complaint: str) -> DriverError:
    if "was not found" in complaint or "Unable to locate" in complaint:
        return UserError(f"apt does not know {package} {version}", hint=_HINT_INDEX)
    return HostError(
        f"could not fetch {package} {version}: {complaint.strip()}",
        hint="Check the network; if the package is gone from the archive (404), run "
        "`sudo apt-get update`. Elsewhere use --source DIR or --source URL#sha256=HEX.",
    )
