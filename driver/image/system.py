# SPDX-License-Identifier: Apache-2.0
"""Whole Debian systems: packages with all they depend on, installed as their maintainers mean it.

mmdebstrap installs them in a directory of its own, in which it runs their scripts: as root, or in a
user namespace. Before that directory goes, mkfs.erofs writes what is in it into a file, in the same
namespace, where users and groups of the system have the numbers that they have in the guest.
"""

from __future__ import annotations

import io
import os
import shlex
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from driver import process
from driver.artifacts import SystemDisk
from driver.errors import HostError, UserError
from driver.image import cpio, packages
from driver.image.recipe import Recipe
from driver.image.tree import tree
from driver.progress import Reporter
from driver.store import Artifact, Store, digest_of, tree_digest

FILE = "system.erofs"
# Persistent memory whose size is no multiple of it cannot be used (driver.guest.machine).
_GRANULE = 16 << 20
# Part of every system's identity: raise it when this module makes other files of the same inputs.
_FORMAT = 1
# What is mounted while the system is made, what nobody reads in a guest, and what only apt needs.
# The directories stay, and so do the files until they are installed: scripts make links in them.
_NOT_STORED = (
    "^(proc|sys|dev|tmp|run)/.",
    "^usr/share/(doc|info|locale|man)/.",
    r"^var/cache/apt/.*\.(deb|bin)$",
    "^var/lib/apt/lists/.",
    r"^var/log/.*\.log$",
)
# Those that mkfs.erofs of Debian 12 (1.5) has. No extended attributes: it looks for them in /proc,
# too, and fails there. All that packages use them for are capabilities, which root does not need.
EROFS = ("-x-1", "-T0", "-U00000000-0000-0000-0000-000000000000", "--quiet")
_ABSENT = ("Unable to locate package", "has no installation candidate")
_CONFLICT = ("unmet dependencies", "Conflicts:", "held broken packages")


def build_system(
    store: Store,
    wanted: Recipe,
    versions: dict[str, str],
    overlays: Sequence[Path],
    reporter: Reporter,
) -> Artifact:
    """The system of a recipe, with the files of ``overlays`` in it; see :func:`disk`.

    ``versions`` are those of the packages that the recipe names. The facts of the artifact are the
    versions of all packages that came in. Raises :class:`UserError` for packages that do not exist
    or cannot be installed together, and :class:`HostError` when they cannot be fetched.
    """
    inputs = {
        "format": _FORMAT,
        "suite": wanted.suite,
        "packages": sorted(wanted.system),
        "versions": versions,
        "overlay": digest_of([tree_digest(overlay) for overlay in overlays]),
    }

    def make(work: Path) -> dict[str, object]:
        _check_host()
        reporter.step(f"Installing Debian {wanted.suite} with {', '.join(sorted(wanted.system))}")
        overlay = work / "overlay.tar"
        _archive(overlays, overlay)
        log = store.scratch("logs") / "system.log"  # outlives a failure, unlike `work`
        log.unlink(missing_ok=True)
        _install(wanted, work, overlay, log, reporter)
        overlay.unlink()
        installed = (work / "versions").read_text(encoding="utf-8")
        (work / "versions").unlink()
        pad(work / FILE)
        return {"versions": dict(line.split("\t") for line in installed.splitlines())}

    return store.get("system", inputs, make)


def pad(path: Path) -> None:
    """Make a file as large as persistent memory has to be."""
    os.truncate(path, -(-path.stat().st_size // _GRANULE) * _GRANULE)


def disk(artifact: Artifact) -> SystemDisk:
    """The file of a system that guests have as an NVDIMM."""
    path = artifact.path / FILE
    return SystemDisk(path.resolve(), path.stat().st_size >> 20)


def _check_host() -> None:
    """Find out what is missing before packages are fetched."""
    needed = ["mmdebstrap", "mkfs.erofs"]
    if os.geteuid() != 0:
        # They map the users of the system to numbers that /etc/subuid grants this user.
        needed += ["newuidmap", "newgidmap"]
    for program in needed:
        if shutil.which(program) is None:
            raise process.missing_program(program)


def _archive(overlays: Iterable[Path], path: Path) -> None:
    """The files of the overlays as an archive, all of them root's."""
    entries: dict[str, cpio.Entry] = {}
    for overlay in overlays:
        entries |= tree(overlay)
    with tarfile.open(path, "w") as archive:
        for name, entry in entries.items():
            member = tarfile.TarInfo(name.lstrip("/"))
            match entry:
                case cpio.File(content=Path() as source, mode=mode):
                    content = source.read_bytes()
                    member.size, member.mode = len(content), mode
                    archive.addfile(member, io.BytesIO(content))
                case cpio.Link(target):
                    member.type, member.linkname = tarfile.SYMTYPE, target
                    archive.addfile(member)


def _install(wanted: Recipe, work: Path, overlay: Path, log: Path, reporter: Reporter) -> None:
    lines = packages.sources(wanted.suite)
    mirrors = work / "mirrors.list"
    mirrors.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    steps = 0

    def on_line(line: str) -> None:
        nonlocal steps
        if line.startswith("I: ") and not line.startswith("I: running"):
            steps += 1
            reporter.progress(steps, None, line.removeprefix("I: "))

    try:
        process.stream(
            [
                "mmdebstrap",
                f"--mode={'root' if os.geteuid() == 0 else 'unshare'}",
                "--variant=essential",
                "--format=null",
                f"--include={','.join(sorted(wanted.system))}",
                # Nothing is lost if the host crashes: the system is then made again.
                "--dpkgopt=force-unsafe-io",
                *(f"--customize-hook={hook}" for hook in _hooks(work, overlay)),
                wanted.suite,
                "-",
                *([mirrors] if lines else []),
            ],
            log=log,
            on_line=on_line,
            env={"LC_ALL": "C"},
        )
    except process.CommandFailed as error:
        raise _explained(wanted, error, log) from error
    finally:
        mirrors.unlink()


def _hooks(work: Path, overlay: Path) -> list[str]:
    """Put the overlay in, and the result out. `tar-in` and `download` are mmdebstrap's own words:
    what they name on the host they open as the user, outside of any namespace.
    """
    image, versions = "/.system.erofs", "/.versions"
    left_out = [
        *(f"--exclude-regex={pattern}" for pattern in _NOT_STORED),
        *(f"--exclude-path={path.lstrip('/')}" for path in (image, versions)),
    ]
    return [
        f"tar-in {shlex.quote(str(overlay))} /",
        # The name that resolves by itself.
        '[ -e "$1/etc/hosts" ] || echo "127.0.0.1 localhost guest" > "$1/etc/hosts"',
        f'dpkg-query --admindir="$1/var/lib/dpkg" -W > "$1{versions}"',
        f'mkfs.erofs {shlex.join([*EROFS, *left_out])} "$1{image}" "$1"',
        f"download {versions} {shlex.quote(str(work / 'versions'))}",
        f"download {image} {shlex.quote(str(work / FILE))}",
    ]


def _explained(wanted: Recipe, error: process.CommandFailed, log: Path) -> HostError | UserError:
    said = log.read_text(encoding="utf-8", errors="replace")
    names = ", ".join(sorted(wanted.system))
    for signs, problem in (
        (_ABSENT, f"Debian {wanted.suite} does not have all of the packages"),
        (_CONFLICT, "these packages cannot be installed together"),
    ):
        found = [line for line in said.splitlines() if any(sign in line for sign in signs)]
        if found:
            message = f"{problem}: {names}"
            return UserError(
                message,
                hint="Correct `system` in recipe.toml; `apt-cache search WORD` finds names.",
                excerpt="\n".join(found),
                log=log,
            )
    return HostError(
        f"cannot install Debian {wanted.suite} with {names}",
        hint="Look at the log: a maintainer script that fails, no network, or no user namespaces "
        "(which need a line for you in /etc/subuid and /etc/subgid).",
        excerpt=error.excerpt,
        log=log,
    )
