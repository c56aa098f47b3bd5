# SPDX-License-Identifier: Apache-2.0
"""Booted and provisioned once, forked for every trial.

A template is a guest that was booted, provisioned, stopped while its agent waited for a job, and
saved: its memory and NVDIMM are files, the state of its devices a third. A fork maps the files
privately and takes over the state, so that it is a running guest in half a second, identical to
every other fork, and unable to change what the next one starts from.

Identical means identical, on purpose: forks share the clock (guest time goes on from the moment
the template was saved; the calendar too), the state of the random number generator (a trial that
wants other addresses than its neighbour's must ask for them) and the SSH keys, which are made
anew for each template.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from driver import process
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, HostError, WorkloadFailed
from driver.guest.agent import encode
from driver.guest.exact import ExactFork
from driver.guest.job import Job
from driver.guest.keys import Keys, Login
from driver.guest.machine import Machine
from driver.guest.pace import slowness
from driver.guest.qemu import PROGRAM, Files, Ports, argv
from driver.guest.session import BOOT_SECONDS, NO_KINDS, Guest, Setup, ready, start
from driver.guest.storage import blank, blank_nvdimm, kernel_file, with_keys
from driver.store import Artifact, Store

KIND = "template"

# Seconds a restore gets, many times the 0.4 s it takes.
_RESTORE_SECONDS = 60.0
# After provisioning the guest is left alone for so long, so that its agent sleeps in its read and
# deferred work of the kernel is over when it is saved.
_SETTLE_SECONDS = 0.3


@dataclass(frozen=True)
class Recipe:
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
        files = Files(Path("KERNEL"), Path("IMAGE"), Path("LOG"), Path("RAM"), Path("NVDIMM"), True)
        exact = self.machine.exact
        ports = Ports(monitor=0, agent=0, job=0 if exact else None, bell=0 if exact else None)
        return {
            "format": 1,
            "qemu": qemu_version(),
            "argv": argv(self.machine, files, ports),
            "kernel": self.kernel.digest,
            "image": self.image.digest,
            "provision": encode(self.provision).decode() if self.provision else None,
            "host": processor() if self.machine.accel == "kvm" else None,
        }


class Templates:
    """The templates of a store, made when first asked for."""

    def __init__(self, store: Store, *, notify: Callable[[str], None] | None = None) -> None:
        self._store = store
        self._notify = notify or (lambda _message: None)

    def get(
        self,
        machine: Machine,
        kernel: KernelArtifact,
        image: ImageArtifact,
        provision: Job | None = None,
        *,
        boot_seconds: float = BOOT_SECONDS,
    ) -> Template:
        """The template of these inputs; made now if it does not exist or is damaged.

        Raises :class:`WorkloadFailed` when provisioning fails, and whatever keeps a guest from
        booting within ``boot_seconds`` of host time.
        """
        recipe = Recipe(machine, kernel, image, provision)
        artifact = self._store.get(
            KIND, recipe.inputs(), lambda folder: _make(recipe, folder, boot_seconds)
        )
        return Template(recipe, artifact, self._notify, boot_seconds)


@dataclass(frozen=True)
class Template:
    """A saved guest. ``artifact.facts`` tell how long making it took and what booted."""

    recipe: Recipe
    artifact: Artifact
    notify: Callable[[str], None]
    boot_seconds: float = BOOT_SECONDS

    @property
    def path(self) -> Path:
        """Where its files are; nothing but the making of a template ever writes to them."""
        return self.artifact.path

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.artifact.facts

    def slowness(self, jobs: int = 1) -> float:
        """By what deadlines must be multiplied for its forks, ``jobs`` at a time, just now."""
        return slowness(self.recipe.machine, self.facts["boot_seconds"], jobs)

    def fork(
        self,
        directory: Path,
        *,
        console: bool = False,
        gdb: Path | None = None,
        tolerate: frozenset[str] = NO_KINDS,
    ) -> Guest | ExactFork:
        """A new guest that continues from the template; ``directory`` receives its console log.

        An exact fork starts with its job. Any other runs when this returns; should QEMU refuse
        the state after all, it is booted and provisioned from cold instead, and says so.
        """
        directory.mkdir(parents=True, exist_ok=True)
        setup = Setup(
            machine=self.recipe.machine,
            files=_files(self.recipe, self.path, directory / "console.log", shared=False),
            login=self._login(),
            console=console,
            gdb=gdb,
            tolerate=tolerate,
        )
        if self.recipe.machine.exact:
            return ExactFork(setup, str(self.facts["release"]), self.restore)
        try:
            return self.restore(setup)
        except (GuestLost, GuestTimeout, HostError) as error:
            self.notify(f"a template cannot be restored ({error.message}); booting from cold")
            return self._cold(setup)

    def restore(self, setup: Setup) -> Guest:
        """Start QEMU and take over the state; only an exact guest is left paused."""
        deadline = Deadline.after(_RESTORE_SECONDS, "restoring the template")

        def take_over(guest: Guest) -> None:
            guest.release = str(self.facts["release"])
            guest.load_state(self.path / "state", deadline)
            if not self.recipe.machine.exact:
                guest.resume()

        return ready(Guest(setup, incoming=True), take_over)

    def _cold(self, setup: Setup) -> Guest:
        # The template's memory and NVDIMM hold what was provisioned: a cold boot needs new ones.
        setup.files.console_log.unlink(missing_ok=True)
        files = _files(self.recipe, self.path, setup.files.console_log, shared=False)
        fresh = Files(files.kernel, files.initramfs, files.console_log)
        cold = Setup(
            setup.machine, fresh, setup.login, None, setup.console, setup.gdb, setup.tolerate
        )
        deadline = Deadline.after(self.boot_seconds, "booting the guest")
        return ready(
            start(cold, deadline),
            lambda guest: _provision(guest, self.recipe.provision, self.slowness()),
        )

    def _login(self) -> Login | None:
        if not self.recipe.machine.ssh:
            return None
        return Login.from_text((self.path / "login").read_text(encoding="ascii"))


@functools.cache
def qemu_version() -> str:
    """The first line of ``qemu-system-x86_64 --version``; :class:`HostError` if there is none."""
    return process.run([PROGRAM, "--version"]).stdout.split("\n", 1)[0]


def _make(recipe: Recipe, folder: Path, boot_seconds: float) -> dict[str, Any]:
    began = time.monotonic()
    machine = recipe.machine
    blank(folder / "ram", machine.memory_mib)
    blank_nvdimm(machine, folder)
    keys = Keys.generate() if machine.ssh else None
    with_keys(recipe.image.initramfs, keys, folder)
    if keys:
        (folder / "login").write_text(keys.as_text(), encoding="ascii")
    setup = Setup(
        machine=machine,
        files=_files(recipe, folder, folder / "console.log", shared=True),
    )
    deadline = Deadline.after(boot_seconds, "booting the guest of a template")
    with start(setup, deadline) as guest:
        booted = time.monotonic()
        _provision(guest, recipe.provision, slowness(machine, booted - began))
        time.sleep(_SETTLE_SECONDS)
        guest.check()
        provisioned = time.monotonic()
        guest.pause()
        guest.save_state(folder / "state", Deadline.after(_RESTORE_SECONDS, "saving a template"))
        saved = time.monotonic()
    return {
        "release": guest.release,
        "boot_seconds": round(booted - began, 3),
        "provision_seconds": round(provisioned - booted, 3),
        "save_seconds": round(saved - provisioned, 3),
        "state_bytes": (folder / "state").stat().st_size,
    }


def _files(recipe: Recipe, folder: Path, log: Path, *, shared: bool) -> Files:
    initramfs = folder / "initramfs" if recipe.machine.ssh else recipe.image.initramfs
    nvdimm = folder / "nvdimm" if recipe.machine.nvdimm_mib else None
    kernel = kernel_file(recipe.machine, recipe.kernel)
    return Files(kernel, initramfs, log, folder / "ram", nvdimm, shared)


def _provision(guest: Guest, job: Job | None, slow: float) -> None:
    if job is None:
        return
    what = " ".join(job.argv)
    result = guest.run(job, Deadline.after(job.timeout * slow, f"provisioning with `{what}`"))
    if result.status != 0:
        raise WorkloadFailed(
            f"provisioning with `{what}` failed with status {result.status}",
            excerpt="\n".join(result.output.splitlines()[-20:]) or None,
            hint="The guest was not saved; mend the command and run again.",
        )


def processor() -> str:
    """A digest of what KVM passes through: the host processor's model and features."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n", 1)[0]
    stable = [line for line in text.splitlines() if not line.startswith(("cpu MHz", "bogomips"))]
    return hashlib.sha256("\n".join(stable).encode()).hexdigest()
