# SPDX-License-Identifier: Apache-2.0
"""Guests that instruments watch: a template whose forks run with plugins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
from driver.instruments.plugin import compiled, demand_interface
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
        with ExitStack() as until_ended:
            plugins = tuple(
                self._plugin(instrument, plugin, directory, until_ended)
                for instrument, plugin in self.watchers
            )
            with self.template.fork(directory, tolerate=tolerate, plugins=plugins) as guest:
                yield guest

    def _plugin(
        self, instrument: Instrument, plugin: Artifact, directory: Path, until_ended: ExitStack
    ) -> str:
        output, scene = _output(directory, instrument), self._scene()
        further = until_ended.enter_context(instrument.watching(output, scene))
        return plugin_option(plugin, output, [*instrument.arguments(scene), *further])

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
    check_instruments(template.recipe.machine.accel, names)
    found = [instruments()[name] for name in names]
    return WatchedTemplate(template, tuple((one, compiled(store, one)) for one in found))


def check_instruments(accel: Requested, names: Iterable[str]) -> None:
    """Find out whether guests can be watched by these instruments, before anything is built.

    Raises :class:`UserError` under KVM, and :class:`HostError` if this QEMU cannot do it.
    """
    if accel == "kvm":
        raise UserError(
            "instruments see only the instructions that QEMU emulates, and KVM emulates none",
            hint="Run with --accel icount or --accel tcg.",
        )
    for name in names:
        instrument = instruments()[name]
        if instrument.icount and accel != "icount":
            raise UserError(
                f"the instrument {name} makes guests wait, and under {accel} their clock goes on",
                hint="Run with --accel icount.",
            )
        demand_interface(instrument)
        instrument.demand()


def plugin_option(plugin: Artifact, output: Path, arguments: Sequence[str]) -> str:
    """The value of QEMU's ``-plugin`` for a plugin that writes to ``output``."""
    words = [escape(plugin.path / "plugin.so"), f"out={escape(output)}", *arguments]
    return ",".join(words)


def _output(directory: Path, instrument: Instrument) -> Path:
    return directory / f"{instrument.name}.out"
