# SPDX-License-Identifier: Apache-2.0
"""Booted and provisioned once, forked for every trial.

A template is a guest that was booted, provisioned, stopped while its agent waited for a job, and
saved: its memory and NVDIMM are files, the state of its devices a third. A fork maps the files
privately and takes over the state, so that it is a running guest in half a second, identical to
every other fork, and unable to change what the next one starts from.

Identical means identical, on purpose: forks share the clock (guest time continues from the moment
the template was saved; the calendar too), the state of the random number generator (a trial that
wants other addresses than its neighbour's must ask for them) and the SSH keys, of which every
template has new ones.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestLost, GuestTimeout, HostError
from driver.guest import processor
from driver.guest.boot import ready, start
from driver.guest.config import NO_KINDS, GuestConfig
from driver.guest.console_log import ConsoleLog
from driver.guest.deterministic import DeterministicFork
from driver.guest.diagnosis import demand_quiet
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.session import BOOT_SECONDS, Guest, console_kept
from driver.guest.ssh_keys import Login
from driver.guest.standalone import standalone_command
from driver.guest.template_recipe import (
    CONSOLE,
    SAVE_SECONDS,
    TemplateRecipe,
    files_of,
    make,
    provision,
)
from driver.guest.timeouts import timeout_scale
from driver.store import Artifact, Store

_log = logging.getLogger(__name__)

KIND = "template"


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
        tolerate: frozenset[str] = NO_KINDS,
        watch: Callable[[str], None] | None = None,
    ) -> Template:
        """The template of these inputs; made now if it does not exist or is damaged.

        Raises :class:`WorkloadFailed` when provisioning fails, and whatever keeps a guest from
        booting within ``boot_seconds`` of host time: :class:`GuestSplat` also for a complaint not
        in ``tolerate`` of the kernel of a template that was made when it was tolerated. ``watch``
        is as in :class:`GuestConfig`.
        """
        recipe = TemplateRecipe(machine, kernel, image, provision)

        def make_it(folder: Path) -> Mapping[str, Any]:
            with console_kept(self._store, "template-console"):
                facts = make(recipe, folder, boot_seconds, tolerate, watch)
            draft = Artifact(KIND, "", folder, {}, facts)
            seen = Template(recipe, draft, self._notify, boot_seconds).processor_seen(tolerate)
            return {**facts, "processor": seen}

        artifact = self._store.get(KIND, recipe.inputs(), make_it)
        demand_quiet(ConsoleLog(artifact.path / CONSOLE), tolerate)
        _log.info("guests are forked from template %s in %s", artifact.short, artifact.path)
        return Template(recipe, artifact, self._notify, boot_seconds, self._store)


@dataclass(frozen=True)
class Template:
    """A saved guest. ``artifact.facts`` tell how long making it took and what booted.

    ``store`` is where it came from, and as a rule its kernel and image too: while that lives, none
    of them is pruned.
    """

    recipe: TemplateRecipe
    artifact: Artifact
    notify: Callable[[str], None]
    boot_seconds: float = BOOT_SECONDS
    store: Store | None = None

    @property
    def path(self) -> Path:
        """Where its files are; nothing but the making of a template ever writes to them."""
        return self.artifact.path

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.artifact.facts

    def standalone_command(self) -> str:
        """A line of shell that boots this template's machine, with its NVDIMM, without the driver.

        The guest boots from cold and finds the NVDIMM as provisioning left it.
        """
        files = files_of(self.recipe, self.path, Path("console.log"), shared=False)
        return standalone_command(self.recipe.machine, files)

    def timeout_scale(self, jobs: int = 1) -> float:
        """The factor for the deadlines of its forks, ``jobs`` at a time, at this moment."""
        alone = self.facts["boot_seconds"] / self.facts.get("load_factor", 1.0)
        return timeout_scale(self.recipe.machine, alone, jobs)

    def observations(self, directory: Path, phases: Sequence[str]) -> Mapping[str, Sequence[Any]]:
        """Nothing: no instrument watches its forks."""
        del directory, phases
        return {}

    def fork(
        self,
        directory: Path,
        *,
        console: bool = False,
        gdb: Path | None = None,
        tolerate: frozenset[str] = NO_KINDS,
        plugins: tuple[str, ...] = (),
    ) -> Guest | DeterministicFork:
        """A new guest that continues from the template; ``directory`` receives its console log.

        ``plugins`` are values of QEMU's ``-plugin``.

        A deterministic fork starts with its job. Any other runs when this returns; if QEMU refuses
        the state, it is booted and provisioned from cold instead, and ``notify`` says so.
        """
        directory.mkdir(parents=True, exist_ok=True)
        config = GuestConfig(
            machine=self.recipe.machine,
            files=files_of(self.recipe, self.path, directory / "console.log", shared=False),
            login=self._login(),
            console=console,
            gdb=gdb,
            tolerate=tolerate,
            boot_log=self.path / CONSOLE,
            plugins=plugins,
        )
        if self.recipe.machine.deterministic:
            return DeterministicFork(config, str(self.facts["release"]), self.restore)
        try:
            return self.restore(config)
        except (GuestLost, GuestTimeout, HostError) as error:
            self.notify(f"a template cannot be restored ({error.message}); booting from cold")
            return self._cold(config)

    def processor_seen(self, tolerate: frozenset[str] = NO_KINDS) -> list[str]:
        """The features that the guest's kernel finds, in its words, if instructions are counted.

        Raises :class:`HostError` if they are not those of the model that all such guests have: its
        counts would mean something else. Empty for an image without `cat`.
        """
        if not self.recipe.machine.deterministic:
            return []
        job = Job(argv=["cat", "/proc/cpuinfo"])
        deadline = Deadline.after(job.timeout * self.timeout_scale(), "reading /proc/cpuinfo")
        with (
            tempfile.TemporaryDirectory(prefix="driver-cpuinfo-") as folder,
            self.fork(Path(folder), tolerate=tolerate) as guest,
        ):
            result = guest.run(job, deadline)
        if result.status != 0:
            return []
        found = processor.flags(result.output)
        if wrong := processor.deviations(found):
            raise HostError(
                f"the guest's processor is not the one that was asked for: {', '.join(wrong)}",
                hint="Counts on it would not be those of other hosts. List what this QEMU can "
                "emulate: qemu-system-x86_64 -cpu help",
            )
        return list(found)

    def restore(self, config: GuestConfig) -> Guest:
        """Start QEMU and take over the state; only a deterministic guest stays paused."""
        deadline = Deadline.after(SAVE_SECONDS, "restoring the template")

        def take_over(guest: Guest) -> None:
            guest.release = str(self.facts["release"])
            guest.load_state(self.path / "state", deadline)
            if not self.recipe.machine.deterministic:
                guest.resume()

        return ready(Guest(config, incoming=True), take_over)

    def _cold(self, config: GuestConfig) -> Guest:
        # The template's memory and NVDIMM hold what was provisioned: a cold boot needs new ones.
        config.files.console_log.unlink(missing_ok=True)
        files = files_of(self.recipe, self.path, config.files.console_log, shared=False)
        fresh = replace(files, ram=None, nvdimm=None)
        cold = replace(config, files=fresh, boot_log=None)
        deadline = Deadline.after(self.boot_seconds, "booting the guest")
        return ready(
            start(cold, deadline),
            lambda guest: provision(guest, self.recipe.provision, self.timeout_scale()),
        )

    def _login(self) -> Login | None:
        if not self.recipe.machine.ssh:
            return None
        return Login.from_text((self.path / "login").read_text(encoding="ascii"))
