# SPDX-License-Identifier: Apache-2.0
"""What a template is made from, and how it is made."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from driver import process
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import WorkloadFailed
from driver.guest import emulator
from driver.guest.boot import blank, blank_nvdimm, kernel_file, start, with_keys
from driver.guest.config import NO_KINDS, GuestConfig
from driver.guest.job import Job, JobResult, encode
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files, Ports, argv
from driver.guest.session import Guest
from driver.guest.ssh_keys import Keys
from driver.guest.timeouts import load_factor, timeout_scale
from driver.store import file_digest
from driver.text import last_lines

# What a template's guest said while it was made, in the template's folder.
CONSOLE = "console.log"

# Seconds that saving or restoring a state gets, many times the 0.4 s it takes.
SAVE_SECONDS = 60.0
# After provisioning the guest is left alone for so long, so that its agent sleeps in its read and
# deferred work of the kernel is over when it is saved.
_SETTLE_SECONDS = 0.3
# What is shown of the output of a provisioning that failed.
_EXCERPT_LINES = 20


@dataclass(frozen=True)
class TemplateRecipe:
    """What a template is made from; the same recipe gives the same template."""

    machine: Machine
    kernel: KernelArtifact
    image: ImageArtifact
    provision: Job | None

    def inputs(self) -> dict[str, Any]:
        """What decides the saved state, for the store's digest.

        QEMU refuses, or worse, accepts a state saved under another command line, so all of it
        counts, with the files in it replaced by the digests of what they hold.
        """
        system = self.image.system
        files = Files(
            Path("KERNEL"),
            Path("IMAGE"),
            Path("LOG"),
            Path("RAM"),
            Path("NVDIMM"),
            shared=True,
            system=system and replace(system, path=Path("SYSTEM")),
        )
        ports = Ports(monitor=0, agent=0)
        if self.machine.deterministic:
            ports = Ports(monitor=0, output=0, job=0, start_trigger=0)
        return {
            "format": 3,
            "qemu": qemu_version(),
            "argv": argv(self.machine, files, ports),
            "kernel": self.kernel.digest,
            "image": self.image.digest,
            "provision": encode(self.provision).decode() if self.provision else None,
            "host": processor() if self.machine.accel == "kvm" else None,
        }


def make(
    recipe: TemplateRecipe,
    folder: Path,
    boot_seconds: float,
    tolerate: frozenset[str] = NO_KINDS,
    watch: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Boot, provision, stop and save a guest into an empty directory; returns what is known of it.

    ``boot_seconds`` is how long it may take to boot, ``tolerate`` and ``watch`` as in
    :class:`GuestConfig`.
    """
    began, load = time.monotonic(), load_factor()
    machine = recipe.machine
    blank(folder / "ram", machine.memory_mib)
    blank_nvdimm(machine, folder)
    keys = Keys.generate() if machine.ssh else None
    with_keys(recipe.image.initramfs, keys, folder)
    if keys:
        (folder / "login").write_text(keys.as_text(), encoding="ascii")
    config = GuestConfig(
        machine=machine,
        files=files_of(recipe, folder, folder / CONSOLE, shared=True),
        job=_first_job(recipe) if machine.deterministic else None,
        tolerate=tolerate,
        watch=watch,
    )
    deadline = Deadline.after(boot_seconds, "booting the guest of a template")
    with start(config, deadline) as guest:
        booted, load = time.monotonic(), max(load, load_factor())
        if watch is not None and recipe.provision is not None:
            watch(f"booted after {booted - began:.0f} s, now `{' '.join(recipe.provision.argv)}`")
        _fill(guest, recipe, timeout_scale(machine, (booted - began) / load))
        provisioned = time.monotonic()
        guest.save_state(folder / "state", Deadline.after(SAVE_SECONDS, "saving a template"))
        saved = time.monotonic()
    return {
        "release": guest.release,
        "boot_seconds": round(booted - began, 3),
        # `boot_seconds` divided by it is what the boot would take on this host were it idle.
        "load_factor": round(load, 2),
        "provision_seconds": round(provisioned - booted, 3),
        "save_seconds": round(saved - provisioned, 3),
        "state_bytes": (folder / "state").stat().st_size,
        "digests": _digests(recipe, folder),
    }


def _fill(guest: Guest, recipe: TemplateRecipe, slow: float) -> None:
    """Provision a guest and stop it."""
    if not recipe.machine.deterministic:
        provision(guest, recipe.provision, slow)
        time.sleep(_SETTLE_SECONDS)
        guest.check()
        guest.pause()
        return
    job = _first_job(recipe)
    _demand_success(job, guest.run_first(job, _time_for(job, slow)))


def _digests(recipe: TemplateRecipe, folder: Path) -> dict[str, str]:
    """What every template of a deterministic recipe agrees in; nothing for any other recipe.

    Its memory is no part of it, although no guest can tell one from another: QEMU 7.2 copies some
    uninitialised bytes of its own into the first pages.
    """
    if not recipe.machine.deterministic:
        return {}
    names = [CONSOLE, *(["nvdimm"] if recipe.machine.nvdimm_mib else [])]
    return {name: file_digest(folder / name) for name in names}


def _first_job(recipe: TemplateRecipe) -> Job:
    """What a deterministic guest does before it becomes a template; there must be something."""
    return recipe.provision or Job(argv=["true"])


def files_of(recipe: TemplateRecipe, folder: Path, log: Path, *, shared: bool) -> Files:
    """The files of a guest that is (``shared``), or is a fork of, the template in a folder."""
    initramfs = folder / "initramfs" if recipe.machine.ssh else recipe.image.initramfs
    nvdimm = folder / "nvdimm" if recipe.machine.nvdimm_mib else None
    kernel = kernel_file(recipe.machine, recipe.kernel)
    return Files(
        kernel, initramfs, log, folder / "ram", nvdimm, shared=shared, system=recipe.image.system
    )


def provision(guest: Guest, job: Job | None, slow: float) -> None:
    """Have a running guest do what makes it a template; ``slow`` multiplies the deadline."""
    if job is not None:
        _demand_success(job, guest.run(job, _time_for(job, slow)))


def _time_for(job: Job, slow: float) -> Deadline:
    return Deadline.after(job.timeout * slow, f"provisioning with `{' '.join(job.argv)}`")


def _demand_success(job: Job, result: JobResult) -> None:
    if result.status != 0:
        raise WorkloadFailed(
            f"provisioning failed: `{' '.join(job.argv)}` {process.describe_status(result.status)}",
            excerpt=last_lines(result.output, _EXCERPT_LINES) or None,
            hint="Correct the command and run again; no template was saved.",
        )


@functools.cache
def qemu_version() -> str:
    """The first line of ``qemu-system-x86_64 --version``; :class:`HostError` if there is none."""
    with process.explaining("ask QEMU for its version"):
        return process.run([emulator.program(), "--version"]).stdout.split("\n", 1)[0]


def processor() -> str:
    """A digest of what KVM passes through: the host processor's model and features."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    stable = [line for line in text.splitlines() if not line.startswith(("cpu MHz", "bogomips"))]
    return hashlib.sha256("\n".join(stable).encode()).hexdigest()
