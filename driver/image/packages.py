# SPDX-License-Identifier: Apache-2.0
"""Files of Debian packages, unpacked without root.

mmdebstrap resolves and fetches the packages with apt, from the mirrors that this host already
uses, checks their signatures, and unpacks them without running any of their scripts. In its
``chrootless`` mode with the ``extract`` variant it needs neither root nor user namespaces nor
fakechroot, so the same command serves a person and a container.
"""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from driver import process
from driver.atomic_write import write_atomically
from driver.errors import HostError
from driver.progress import Reporter
from driver.store import Store, digest_of

# Third-party archives of the host are left out.
_TARGETS = (
    "--format",
    "deb $(REPO_URI) $(RELEASE) $(COMPONENT)",
    "Created-By: Packages",
    "Origin: Debian",
)

# The package archives are gone when mmdebstrap ends, and without a package database only they
# know their versions.
_LIST_VERSIONS = 'for deb in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb --show "$deb"; done'

# What apt's answers depend on: its package lists, pins and sources.
STATE = (Path("/var/lib/apt/lists"), Path("/etc/apt"))


def state_digest() -> str:
    """Changes with what apt on this host knows (by dates and sizes of its files)."""
    files = sorted(path for root in STATE for path in root.rglob("*") if path.is_file())
    return digest_of([[str(path), path.stat().st_mtime_ns, path.stat().st_size] for path in files])


def sources(suite: str) -> list[str]:
    """One-line apt sources of ``suite`` and its updates, as this host is set up to reach them.

    Empty when the host has no package lists of that suite; mmdebstrap then goes to its own
    default mirror.
    """
    listed = process.run(["apt-get", "indextargets", *_TARGETS], check=False).stdout
    lines = {line for line in listed.splitlines() if line.split()[2].partition("-")[0] == suite}
    return sorted(lines)


@dataclass(frozen=True)
class Unpacked:
    """A directory with the files of packages, and the version of each that came."""

    root: Path
    versions: dict[str, str]


@contextmanager
def unpacked(
    store: Store, suite: str, versions: Mapping[str, str], reporter: Reporter
) -> Iterator[Unpacked]:
    """Packages of these versions and all they depend on, unpacked.

    They go when the block ends, but stay for the next attempt when it raises: fetching takes
    minutes, and the usual mistake is a path that the packages do not have.
    """
    key = digest_of({"suite": suite, "versions": versions})[:24]
    with store.lock("unpacked", waiting_for="another driver unpacking packages"):
        for left in store.scratch("unpacked").iterdir():
            if left.name != key:
                shutil.rmtree(left)
        folder = store.scratch("unpacked", key)
        root, record = folder / "root", folder / "versions.json"
        if not record.is_file():
            reporter.step("Fetching packages of the image")
            shutil.rmtree(root, ignore_errors=True)
            log = store.scratch("logs") / "packages.log"
            came = unpack(suite, versions, root, log)
            write_atomically(record, json.dumps(came))
        yield Unpacked(root, json.loads(record.read_text(encoding="utf-8")))
        shutil.rmtree(folder)


def unpack(suite: str, packages: Iterable[str], into: Path, log: Path) -> dict[str, str]:
    """Unpack packages and all they depend on below the new directory ``into``.

    Returns the version of every package that came. Raises :class:`HostError` with mmdebstrap's
    words when a package cannot be fetched; its whole output is in ``log``.
    """
    wanted, lines = sorted(packages), sources(suite)
    with TemporaryDirectory(prefix="packages-") as folder:
        mirrors = Path(folder, "mirrors.list")
        mirrors.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        versions = Path(folder, "versions")
        try:
            process.stream(
                [
                    "mmdebstrap",
                    "--mode=chrootless",
                    "--variant=extract",
                    # From 1.5 on, root is warned of what maintainer scripts might do to the host.
                    # The variant `extract` runs none.
                    "--skip=check/chrootless",
                    "--format=directory",
                    f"--include={','.join(wanted)}",
                    f"--extract-hook={_LIST_VERSIONS} > {shlex.quote(str(versions))}",
                    suite,
                    into,
                    *([mirrors] if lines else []),
                ],
                log=log,
                env={"LC_ALL": "C"},
            )
        except process.CommandFailed as error:
            raise HostError(
                f"mmdebstrap cannot fetch or unpack the image's packages: {', '.join(wanted)}",
                hint="Check the network, /etc/apt/sources.list* and the names in recipe.toml.",
                excerpt=error.excerpt,
                log=log,
            ) from error
        shown = versions.read_text(encoding="utf-8").splitlines()
    return dict(line.split("\t", 1) for line in shown)
