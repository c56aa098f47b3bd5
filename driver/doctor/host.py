# SPDX-License-Identifier: Apache-2.0
"""Disk, memory, cache, kernel source and KVM of this machine."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.doctor.finding import CheckStatus, Finding, everywhere
from driver.doctor.systems import System
from driver.errors import DriverError, HostError
from driver.guest import accel
from driver.kernel.sources import archive, cache
from driver.kernel.sources.mirror import mirror_of
from driver.process import run
from driver.progress import Reporter
from driver.prune import MANIFEST
from driver.store import Artifact, Store

GIB = 1 << 30

# The cache after `make experiment` on a new machine: sources 2.0, two build trees 2.2, booted
# guests 0.7, the rest 0.1 GiB; and as much again for a second series of one's own.
_DISK_NEEDED = 8 * GIB
# The largest guest of the experiments here has 1 GiB of memory and an NVDIMM of 2.25 GiB, whose
# pages the guest touches; a compiler for each processor needs less.
_MEMORY_NEEDED = 4 * GIB


def examine_host(store: Store, reporter: Reporter) -> list[Finding]:
    """Everything about the machine that is not a package; never raises."""
    return [
        *_cache(store),
        _disk(store.root),
        _memory(),
        _kernel_source(store),
        _kvm(store, reporter),
    ]


def _cache(store: Store) -> list[Finding]:
    root = store.root
    elsewhere = everywhere("export DRIVER_CACHE=/a/directory/you/may/write")
    if re.search(r"[ :]", str(root)):
        odd = f"{root}: kbuild cannot work below a path with a space or a colon"
        return [Finding("cache", "location", CheckStatus.MISSING, odd, remedy=elsewhere)]
    findings = [Finding("cache", "location", CheckStatus.OK, str(root))]
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=root):
            pass
    except OSError as error:
        reason = f"no: {error.strerror}"
        return [
            *findings,
            Finding("cache", "writable", CheckStatus.MISSING, reason, remedy=elsewhere),
        ]
    sizes = _sizes(root)
    large = ", ".join(f"{name} {_gib(size)}" for name, size in sizes.items() if size > GIB // 10)
    total = _gib(sum(sizes.values())) + (f" ({large})" if large else "")
    return [
        *findings,
        Finding("cache", "writable", CheckStatus.OK, "yes"),
        Finding(
            "cache", "size", CheckStatus.OK, total, "may be deleted; the driver fills it again"
        ),
    ]


def _sizes(root: Path) -> dict[str, int]:
    """Bytes on disk below each folder: holes cost nothing, a file with two names is counted once.

    By ``du``, which takes half as long as Python for the million files of some kernel trees.
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir())
    # It complains of files that another driver removes meanwhile.
    command: list[str | Path] = ["du", "--summarize", "--block-size=1", "--", *folders]
    if not folders:  # du would take the current directory
        return {}
    try:
        printed = run(command, check=False).stdout
    except HostError:  # no du: the driver works without
        return {}
    lines = (line.split("\t", 1) for line in printed.splitlines() if "\t" in line)
    return {Path(path).name: int(size) for size, path in lines}


def _disk(root: Path) -> Finding:
    there = next(path for path in (root, *root.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{_gib(free)} free"
    purpose = f"the cache of one series needs about {_gib(_DISK_NEEDED)}"
    filled = (there / "sources").is_dir() and any((there / "sources").iterdir())
    if free >= _DISK_NEEDED or (filled and free >= _DISK_NEEDED // 4):
        return Finding("disk", "space", CheckStatus.OK, found, purpose)
    remedy = everywhere("export DRIVER_CACHE=/a/directory/on/a/larger/disk")
    return Finding("disk", "space", CheckStatus.MISSING, found, purpose, remedy)


def _memory() -> Finding:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    values = {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+): +(\d+) kB", text, re.M)}
    available = values["MemAvailable"]
    found = f"{_gib(available)} available of {_gib(values['MemTotal'])}"
    purpose = f"the largest guest of the experiments needs {_gib(_MEMORY_NEEDED)}"
    if available >= _MEMORY_NEEDED:
        return Finding("memory", "available", CheckStatus.OK, found, purpose)
    remedy = everywhere("ps -eo rss,comm --sort=-rss | head  # then end what is not needed")
    return Finding("memory", "available", CheckStatus.MISSING, found, purpose, remedy)


def _kernel_source(store: Store) -> Finding:
    """By what is in the cache; a kernel is fetched when one is built."""
    prefix = "linux-source-"
    purpose = "the kernel that is patched"
    cached = cache.names(store, prefix) if store.root.is_dir() else []
    if cached:
        names = ", ".join(name.partition("_")[2] for name in cached)
        return Finding("source", "Linux", CheckStatus.OK, f"in the cache: {names}", purpose)
    if store.root.is_dir() and (known := archive.recorded(store)).offers:
        bases = ", ".join(known.bases)
        return Finding("source", "Linux", CheckStatus.OK, f"Debian has {bases}", purpose)
    if shutil.which("apt-get") is not None and mirror_of("debian") is not None:
        found = "from Debian when a kernel is built (42 MB of package lists, 150 MB of source)"
        return Finding("source", "Linux", CheckStatus.NOTE, found, purpose)
    remedy = everywhere("driver build --source 'https://URL/OF/linux-X.Y.Z.tar.xz#sha256=HEX'")
    remedy[System.DEBIAN] = (
        "name a mirror of Debian with the component main in /etc/apt/sources.list.d/debian.sources"
    )
    lacking = "apt's sources on this machine name no mirror of Debian"
    return Finding("source", "Linux", CheckStatus.MISSING, lacking, purpose, remedy)


def _kvm(store: Store, reporter: Reporter) -> Finding:
    """By proof (:mod:`driver.guest.accel`), which takes a built kernel; none is built for it."""
    purpose = "measuring time; counts need no KVM"
    kernels, images = _made(store, "kernel"), _made(store, "image")
    if not accel.DEVICE.exists():
        return Finding(
            "kvm", "proof", CheckStatus.NOTE, f"this host has no {accel.DEVICE}", purpose
        )
    if not os.access(accel.DEVICE, os.R_OK | os.W_OK):
        found = f"this user may not open {accel.DEVICE}"
        remedy = everywhere("sudo usermod -aG kvm $USER  # then log in again")
        return Finding("kvm", "proof", CheckStatus.NOTE, found, purpose, remedy)
    if not kernels or not images:
        found = (
            f"{accel.DEVICE} exists; not proven, because no kernel and image have been built yet"
        )
        return Finding("kvm", "proof", CheckStatus.NOTE, found, purpose, everywhere("driver build"))
    # A kernel without patches, if there is one: it is the least likely to be broken.
    made = min(kernels, key=lambda artifact: (len(artifact.inputs["patches"]), artifact.digest))
    image = images[-1]
    kernel = KernelArtifact.stored(made, {})
    booted = ImageArtifact(image.digest, "", next(image.path.glob("initramfs*")), {})
    try:
        choice = accel.choose("auto", store, kernel, booted, notify=reporter.note)
    except DriverError as error:
        return Finding(
            "kvm", "proof", CheckStatus.NOTE, f"no guest boots: {error.message}", purpose
        )
    verdict = CheckStatus.OK if choice.accel == "kvm" else CheckStatus.NOTE
    return Finding("kvm", "proof", verdict, choice.reason, purpose)


def _made(store: Store, kind: str) -> list[Artifact]:
    """The sound artifacts of a kind."""
    found = []
    for path in sorted((store.root / kind).glob(f"*/{MANIFEST}")):
        try:
            inputs = json.loads(path.read_text(encoding="utf-8"))["inputs"]
        except (OSError, ValueError, KeyError):
            continue
        artifact = store.find(kind, inputs)
        if artifact is not None:
            found.append(artifact)
    return found


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
