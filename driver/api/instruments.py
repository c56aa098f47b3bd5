# SPDX-License-Identifier: Apache-2.0
"""Guests that instruments watch: a template whose forks run with plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.experiment.attempt import TrialGuest
from driver.guest.accel import Requested
from driver.guest.config import NO_KINDS
from driver.guest.qemu_args import escape
from driver.guest.template import Template
from driver.instruments import instruments
from driver.instruments.instrument import Instrument, Row, Scene
from driver.instruments.plugin import compiled, plugin_interface
from driver.results.guest_record import InstrumentRecord
from driver.store import Artifact, Store


@dataclass(frozen=True)
class WatchedTemplate:
    """A template whose forks are watched by instruments, each with its compiled plugin."""

    template: Template
    watchers: tuple[tuple[Instrument, Artifact], ...]

    @property
    def records(self) -> list[InstrumentRecord]:
        """What a manifest says about the instruments."""
        return [
            InstrumentRecord(name=instrument.name, digest=plugin.digest)
            for instrument, plugin in self.watchers
        ]

    def timeout_scale(self, jobs: int) -> float:
        """That of the template, times what all the instruments may cost together."""
        slower = sum(instrument.slowdown for instrument, _ in self.watchers)
        return self.template.timeout_scale(jobs) * max(1.0, slower)

    @contextmanager
    def fork(self, directory: Path, *, tolerate: frozenset[str] = NO_KINDS) -> Iterator[TrialGuest]:
        """A guest whose plugins write into ``directory``."""
        scene = self._scene()
        plugins = tuple(
            plugin_option(plugin, _output(directory, instrument), instrument.arguments(scene))
            for instrument, plugin in self.watchers
        )
        with self.template.fork(directory, tolerate=tolerate, plugins=plugins) as guest:
            yield guest

    def observations(self, directory: Path, phases: Sequence[str]) -> dict[str, Sequence[Row]]:
        """The tables of all instruments, of a guest that has ended."""
        scene = self._scene(phases)
        seen: dict[str, Sequence[Row]] = {}
        for instrument, _ in self.watchers:
            seen |= instrument.read(_output(directory, instrument), scene)
        return seen

    def _scene(self, phases: Sequence[str] = ()) -> Scene:
        recipe = self.template.recipe
        return Scene(recipe.kernel, recipe.image, recipe.machine, phases)


def watch(store: Store, template: Template, names: Sequence[str]) -> WatchedTemplate:
    """The template, its forks watched by the instruments of these names.

    Raises :class:`UserError` under KVM, where QEMU does not see the instructions, and
    :class:`HostError` if a plugin does not compile.
    """
    check_instruments(template.recipe.machine.accel)
    found = [instruments()[name] for name in names]
    return WatchedTemplate(template, tuple((one, compiled(store, one)) for one in found))


def check_instruments(accel: Requested) -> None:
    """Find out whether guests under an accelerator can be watched, before anything is built."""
    if accel == "kvm":
        raise UserError(
            "instruments see only the instructions that QEMU emulates, and KVM emulates none",
            hint="Run with --accel icount or --accel tcg.",
        )
    plugin_interface()


def plugin_option(plugin: Artifact, output: Path, arguments: Sequence[str]) -> str:
    """The value of QEMU's ``-plugin`` for a plugin that writes to ``output``."""
    words = [escape(plugin.path / "plugin.so"), f"out={escape(output)}", *arguments]
    return ",".join(words)


def _output(directory: Path, instrument: Instrument) -> Path:
    return directory / f"{instrument.name}.out"
