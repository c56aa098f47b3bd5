# SPDX-License-Identifier: Apache-2.0
"""Choosing the accelerator, on evidence.

That ``/dev/kvm`` exists, opens and even runs firmware proves little: on some hosts (nested, or
with a partial implementation) the kernel then crawls or dies. So ``auto`` boots the very kernel
that is to be measured under KVM, with a deadline taken from how long emulation took for the same,
has it compute something, and accepts only a correct answer that comes earlier. The verdict is
cached until the host changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.atomic_write import write_atomically
from driver.deadline import Deadline
from driver.errors import DriverError, GuestError, HostError
from driver.guest.boot import boot
from driver.guest.job import Job
from driver.guest.machine import Accel, Machine
from driver.guest.session import BOOT_SECONDS, console_kept
from driver.guest.template_recipe import processor, qemu_version
from driver.guest.timeouts import REFERENCE_BOOT_SECONDS, load_factor
from driver.store import Store, digest_of

Requested = Literal["auto", "tcg", "kvm", "icount"]

DEVICE = Path("/dev/kvm")

# A boot takes 2 to 3 s under TCG on an idle host. A guest that needs this many times what was
# measured is not slow, it is stuck.
_PATIENCE = 20.0
# KVM_MINOR of include/linux/miscdevice.h, with the major number of all such devices: whatever else
# has the name of the device, as a bind mount in a container, is not it.
_DEVICE_NUMBERS = (10, 232)
_LEAST_BOOT_SECONDS = 30.0

# KVM gets as long as emulation took, within these bounds, in seconds; so an answer, whichever it
# is, takes about 15 s on an idle host.
_LEAST_PROOF, _MOST_PROOF = 3.0, 30.0

# Arithmetic, memory and processes; what it prints is the same on every machine.
_PROOF = Job(argv=["sh", "-c", "seq 20000 | md5sum"])


@dataclass(frozen=True)
class Choice:
    """The accelerator to use and one sentence why.

    ``boot_seconds`` is a deadline for booting a guest with it, scaled by what was measured.
    """

    accel: Accel
    reason: str
    boot_seconds: float = BOOT_SECONDS


@dataclass(frozen=True)
class Proof:
    """What booting under emulation and under KVM showed; seconds from start to answer.

    ``load`` is what else the host did meanwhile (:func:`driver.guest.timeouts.load_factor`), and
    ``made`` when that was, in seconds since 1970.
    """

    works: bool
    sentence: str
    tcg_seconds: float
    kvm_seconds: float | None
    load: float = 1.0
    made: float = 0.0

    @property
    def idle_seconds(self) -> float:
        """How long a boot would take on this host, were it idle, with what it was proven for."""
        return ((self.kvm_seconds if self.works else None) or self.tcg_seconds) / self.load


def choose(
    requested: Requested,
    store: Store,
    kernel: KernelArtifact,
    image: ImageArtifact,
    *,
    notify: Callable[[str], None] = lambda _message: None,
) -> Choice:
    """Decide what to run guests with; ``auto`` and ``kvm`` are proven first, once per host.

    Raises :class:`HostError` when KVM was requested and does not work on this host.
    """
    if requested == "tcg":
        return Choice("tcg", "emulation was requested", _unmeasured())
    if requested == "icount":
        reason = "counting of instructions was requested, which needs emulation"
        return Choice("icount", reason, _unmeasured())
    check_possible(requested)
    obstacle = _obstacle()
    if obstacle is not None:
        return Choice("tcg", f"emulation, because {obstacle}", _unmeasured())
    proof, path = _remembered(store, kernel, image, notify)
    # The load that counts is that of the moment: the proof may be as old as the host's uptime.
    seconds = max(_LEAST_BOOT_SECONDS, _PATIENCE * proof.idle_seconds) * load_factor()
    if proof.works:
        return Choice("kvm", proof.sentence, seconds)
    age = f"checked {_ago(proof.made)}; to check again, remove {path}"
    if requested == "auto":
        return Choice("tcg", f"emulation, because {proof.sentence} ({age})", seconds)
    raise _no_kvm(f"{proof.sentence} ({age})")


def choose_or_emulate(
    requested: Requested,
    store: Store,
    kernel: KernelArtifact,
    image: ImageArtifact,
    *,
    notify: Callable[[str], None] = lambda _message: None,
) -> Choice:
    """As :func:`choose`, for a kernel that may boot nowhere: its guest will say so of the run."""
    try:
        return choose(requested, store, kernel, image, notify=notify)
    except GuestError as error:
        return Choice("tcg", f"emulation, because no guest boots: {error.message}")


def _unmeasured() -> float:
    """A deadline for booting a guest on a host on which no boot has been measured."""
    return max(BOOT_SECONDS, _PATIENCE * REFERENCE_BOOT_SECONDS * load_factor())


def check_possible(requested: Requested) -> None:
    """Raise :class:`HostError` if KVM was requested and fails for a reason that needs no guest.

    Nobody should compile two kernels to learn that a device may not be opened.
    """
    obstacle = _obstacle() if requested == "kvm" else None
    if obstacle is not None:
        raise _no_kvm(obstacle)


def _no_kvm(obstacle: str) -> HostError:
    return HostError(
        f"KVM cannot be used: {obstacle}",
        hint="Use --accel tcg, or --accel icount to count instructions.",
    )


def _obstacle() -> str | None:
    """Why KVM cannot work on this host, as far as it shows without a guest; None if it may."""
    if not DEVICE.exists():
        return f"this host has no {DEVICE}"
    numbers = _numbers()
    if numbers != _DEVICE_NUMBERS:
        is_one = "no device" if numbers is None else f"the device {numbers[0]}:{numbers[1]}"
        return f"{DEVICE} is {is_one} and not {_DEVICE_NUMBERS[0]}:{_DEVICE_NUMBERS[1]}, KVM"
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return f"this user may not open {DEVICE} (try: sudo adduser $USER kvm)"
    return None


def _numbers() -> tuple[int, int] | None:
    """The major and minor number of the device; None if it is none."""
    found = DEVICE.stat()
    if not stat.S_ISCHR(found.st_mode):
        return None
    return os.major(found.st_rdev), os.minor(found.st_rdev)


def _ago(made: float) -> str:
    """How long ago, in the unit a person would use."""
    minutes = max(0.0, time.time() - made) / 60
    if minutes < 1:
        return "just now"
    return f"{minutes:.0f} min ago" if minutes < 100 else f"{minutes / 60:.0f} h ago"


def _remembered(
    store: Store,
    kernel: KernelArtifact,
    image: ImageArtifact,
    notify: Callable[[str], None],
) -> tuple[Proof, Path]:
    """The proof for this host as it is now, from the cache or made now, and the file it is in."""
    key = digest_of(_host(kernel))[:24]
    path = store.root / "accel" / f"{key}.json"
    with store.lock(f"accel-{key}", waiting_for="another driver that checks KVM"):
        try:
            return Proof(**json.loads(path.read_text(encoding="utf-8"))), path
        except (OSError, ValueError, TypeError):
            notify("checking whether KVM works (once per boot of this host)")
        load = load_factor()
        with (
            tempfile.TemporaryDirectory(prefix="driver-") as folder,
            console_kept(store, "kvm-try"),
        ):
            proof = prove(kernel, image, Path(folder))
        proof = replace(proof, load=max(load, load_factor()), made=time.time())
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(proof), indent=2))
        notify(f"KVM works: {proof.sentence}" if proof.works else f"no KVM: {proof.sentence}")
        return proof, path


def _host(kernel: KernelArtifact) -> dict[str, str]:
    """What a verdict depends on. The boot identifier covers modules and microcode.

    The device is part of it: another one may be bound over it, or have taken its place.
    """
    device = DEVICE.stat()
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return {
        "boot": boot_id,
        "device": f"{device.st_dev} {device.st_ino} {device.st_rdev}",
        "host kernel": os.uname().release,
        "processor": processor(),
        "qemu": qemu_version(),
        # Not its digest: every edit of a patch would ask for a new proof.
        "guest kernel": hashlib.sha256(kernel.release.encode()).hexdigest(),
    }


def prove(kernel: KernelArtifact, image: ImageArtifact, directory: Path) -> Proof:
    """Boot under emulation, then under KVM, and compare answers and seconds.

    ``directory`` receives the console log of each. Raises whatever keeps a guest from running under
    emulation.
    """
    tcg_seconds, expected = _try("tcg", kernel, image, BOOT_SECONDS, directory)
    limit = min(_MOST_PROOF, max(_LEAST_PROOF, tcg_seconds))
    try:
        kvm_seconds, answer = _try("kvm", kernel, image, limit, directory)
    except GuestError as error:
        sentence = f"guests do not work under KVM on this host: {_first_line(error)}"
        return Proof(False, sentence, tcg_seconds, None)
    if answer != expected:
        sentence = f"a guest under KVM computed {answer.strip()!r} instead of {expected.strip()!r}"
        return Proof(False, sentence, tcg_seconds, kvm_seconds)
    timing = f"{kvm_seconds:.1f} s under KVM, {tcg_seconds:.1f} s under emulation"
    if kvm_seconds > tcg_seconds:
        return Proof(False, f"KVM is slower here ({timing})", tcg_seconds, kvm_seconds)
    return Proof(True, f"a guest boots and computes in {timing}", tcg_seconds, kvm_seconds)


def _try(
    accel: Accel, kernel: KernelArtifact, image: ImageArtifact, seconds: float, directory: Path
) -> tuple[float, str]:
    """Seconds from start to answer, and the answer."""
    deadline = Deadline.after(seconds, f"a guest under {accel}")
    began = time.monotonic()
    machine = Machine(memory_mib=512, vcpus=2, nvdimm_mib=0, accel=accel)
    with boot(machine, kernel, image, directory / accel, deadline=deadline) as guest:
        output = guest.run(_PROOF, deadline).output
        return round(time.monotonic() - began, 3), output


def _first_line(error: DriverError) -> str:
    """The message, with QEMU's own first words if it had any."""
    words = (error.excerpt or "").strip().splitlines()
    qemu = next((line for line in words if line.startswith("qemu")), None)
    return f"{error.message} ({qemu})" if qemu else error.message
