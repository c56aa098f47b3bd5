# SPDX-License-Identifier: Apache-2.0
"""Compiling plugins, for the QEMU of this host, into the store."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from driver import process
from driver.errors import HostError
from driver.guest import emulator
from driver.guest.template_recipe import qemu_version
from driver.instruments.instrument import Instrument
from driver.process import CommandFailed, run
from driver.store import Artifact, Store, file_digest

_FOLDER = Path(__file__).parent
_COMPILER = "gcc"
_FLAGS = (
    "-std=gnu11",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Werror",
    "-fPIC",
    "-shared",
    "-fvisibility=hidden",
    "-pthread",
    "-Wl,--build-id=none",
)
# QEMU's version from which on its interface has the number; see plugin.h.
_INTERFACES = (((10, 0), 4), ((9, 1), 3), ((9, 0), 2), ((0, 0), 1))
_VERSION = re.compile(r"version (\d+)\.(\d+)")
_KIND = "plugin"


def compiled(store: Store, instrument: Instrument) -> Artifact:
    """The plugin of an instrument, a file called ``plugin.so``, compiled unless the store has it.

    Raises :class:`HostError` if QEMU takes no plugins or is too old for the instrument, or if the
    plugin does not compile.
    """
    interface = demand_interface(instrument)
    source = _FOLDER / f"{instrument.plugin or instrument.name}.c"
    inputs = {
        "name": instrument.name,
        "sources": {path.name: file_digest(path) for path in (source, *_FOLDER.glob("*.h"))},
        "flags": list(_FLAGS),
        "interface": interface,
        "compiler": run([_COMPILER, "--version"]).stdout.partition("\n")[0],
    }

    def make(work: Path) -> None:
        define = f"-DPLUGIN_API={interface}"
        try:
            run([_COMPILER, *_FLAGS, define, "-o", work / "plugin.so", source.name], cwd=_FOLDER)
        except CommandFailed as error:
            raise HostError(
                f"cannot compile the plugin of the instrument {instrument.name}: {error.message}",
                excerpt=error.excerpt,
                hint=f"Runs without --instrument {instrument.name} do not need it.",
            ) from error

    return store.get(_KIND, inputs, make)


def demand_interface(instrument: Instrument) -> int:
    """The version of QEMU's plugin interface, of which the instrument needs ``interface`` or newer.

    Raises :class:`HostError` if it is older, or if QEMU takes no plugins.
    """
    interface = plugin_interface()
    if interface < instrument.interface:
        least = next(numbers for numbers, known in _INTERFACES if known == instrument.interface)
        raise HostError(
            f"the instrument {instrument.name} needs QEMU {least[0]}.{least[1]} or newer, and this "
            f"is {qemu_version()}",
            hint="Name a newer one: driver --qemu PATH ..., or `qemu` in the configuration file. "
            "Debian 13 has it, and Debian 12 in bookworm-backports.",
        )
    return interface


@cache
def plugin_interface() -> int:
    """The version of the plugin interface that QEMU offers; :class:`HostError` if it has none."""
    found = qemu_version()
    if not re.search(r"^-plugin ", process.run([emulator.program(), "-help"]).stdout, re.MULTILINE):
        raise HostError(
            f"{found} was built without TCG plugins",
            hint="Use a QEMU configured with --enable-plugins, as Debian's is, or leave "
            "--instrument out.",
        )
    match = _VERSION.search(found)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    return next(interface for least, interface in _INTERFACES if numbers >= least)
