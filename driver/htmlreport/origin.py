# SPDX-License-Identifier: Apache-2.0
"""Where the numbers of a run come from, and how to get them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from driver.results.guest_record import GuestRecord, KernelProvenance
from driver.results.manifest import Manifest
from driver.results.repeat import repeat_command
from driver.text import UNKNOWN, value_text

Facts = list[tuple[str, str]]

_MEANING = {
    "tcg": "Emulated: what the kernel counts is real, and no time is.",
    "icount": "Emulated with a count of instructions: costs are path lengths, with no cache and no "
    "TLB in them. Forks of one booted guest repeat to the byte.",
    "kvm": "On the host's processor: times are real, and so is the noise of the host.",
}


def how_to_repeat(manifest: Manifest) -> list[str]:
    """Commands, from a clone of the project to the same run."""
    commit = manifest.project.commit
    checkout = [f"git checkout {commit}"] if commit else []
    return [*checkout, "make setup", repeat_command(manifest)]


def caveats(manifest: Manifest) -> list[str]:
    """What keeps a repetition from being exact."""
    found = []
    if manifest.project.commit is None:
        found.append("The project was not a git checkout; its state is unknown.")
    if manifest.project.modified:
        found.append("The checkout had uncommitted changes.")
    if manifest.options.source is not None:
        found.append("The kernel source is a path on the machine that made the run.")
    if manifest.options.keep_guest:
        found.append("With --keep-guest, each trial started by writing 0 to kernel.panic.")
    if manifest.status != "complete":
        found.append(f"The run is not complete (status: {manifest.status}).")
    return found


def validity(manifest: Manifest) -> Facts:
    """What executed the guests, why, and which kinds of number mean something."""
    return [
        ("accelerator", manifest.accelerator.value),
        ("chosen because", manifest.accelerator_reason or "the reason was not recorded"),
        ("which means", _MEANING[manifest.accelerator.value]),
        *((kind, verdict) for kind, verdict in manifest.valid.items()),
    ]


def host(manifest: Manifest) -> Facts:
    """The machine that ran QEMU, and the software that drove it."""
    found = manifest.host
    project = manifest.project
    return [
        ("processor", f"{found.cpu}, {found.cpus} in use"),
        ("memory", f"{found.memory_mib:,} MiB"),
        ("system", f"{found.system}, Linux {found.kernel}, Python {found.python}"),
        ("driver", f"{project.driver}, commit {project.commit or 'unknown'}"),
        ("started", manifest.started),
        ("finished", manifest.finished or "not yet"),
    ]


def guest(record: GuestRecord) -> tuple[str, Facts]:
    """One kind of guest: a title, and what is known of it."""
    kernel, image, qemu = record.kernel, record.image, record.qemu
    variant = f", variant {kernel.variant}" if kernel.variant else ""
    # The same kernel may run in machines of several sizes.
    title = f"series {kernel.series}{variant}, {record.machine.memory_mib:,} MiB"
    facts: Facts = [
        ("kernel", f"{value_text(kernel.release)} (digest {kernel.digest})"),
        *_kernel(kernel.provenance),
        ("image", f"{image.name} (digest {image.digest})"),
        ("machine", value_text(dict(record.machine))),
        ("prepared by", shlex.join(record.provision) if record.provision else "nothing"),
        ("emulator", qemu.version),
        ("started as", shlex.join(qemu.argv)),
    ]
    return title, facts


def _kernel(provenance: KernelProvenance | None) -> Iterator[tuple[str, str]]:
    if provenance is None:
        yield "source", UNKNOWN
        return
    source = provenance.source
    yield "source", f"Linux {source.version}: {value_text(source.origin.model_dump())}"
    if provenance.series.patches:
        yield "patches", "\n".join(patch.name for patch in provenance.series.patches)
    yield "compiler", value_text(provenance.compiler)
    yield "debug information", value_text(provenance.debug_info)
