# SPDX-License-Identifier: Apache-2.0
"""Where the numbers of a run come from, and how to get them again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from driver.results.manifest import GuestRecord, ManifestV1
from driver.results.repeat import repeat_command

Facts = list[tuple[str, str]]

_MEANING = {
    "tcg": "Emulated: what the kernel counts is real, and no time is.",
    "icount": "Emulated with a count of instructions: costs are path lengths, with no cache and no "
    "TLB in them. Forks of one booted guest repeat to the byte.",
    "kvm": "On the host's processor: times are real, and so is the noise of the host.",
}


def how_to_repeat(manifest: ManifestV1) -> list[str]:
    """Commands, from a clone of the project to the same run."""
    commit = manifest.project.commit
    checkout = [f"git checkout {commit}"] if commit else []
    return [*checkout, "make setup", repeat_command(manifest)]


def caveats(manifest: ManifestV1) -> list[str]:
    """What stands in the way of repeating it to the letter."""
    found = []
    if manifest.project.commit is None:
        found.append("The project was not a git checkout: which state of it ran is not known.")
    if manifest.project.modified:
        found.append("The checkout held changes that were not committed.")
    if manifest.options.source is not None:
        found.append("The kernel source is a place on the machine of whoever ran it.")
    if manifest.options.keep_guest:
        found.append("With --keep-guest each trial began with a write of 0 to kernel.panic.")
    if manifest.status != "complete":
        found.append(f"The run is not complete: it is {manifest.status}.")
    return found


def validity(manifest: ManifestV1) -> Facts:
    """What executed the guests, why, and which kinds of number mean something."""
    return [
        ("accelerator", manifest.accelerator.value),
        ("chosen because", manifest.accelerator_reason or "the reason was not recorded"),
        ("which means", _MEANING[manifest.accelerator.value]),
        *((kind, verdict) for kind, verdict in manifest.valid.items()),
    ]


def host(manifest: ManifestV1) -> Facts:
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
    kernel, image = record.kernel, record.image
    variant = f", variant {kernel['variant']}" if kernel.get("variant") else ""
    memory = record.machine.get("memory_mib")
    title = f"series {kernel.get('series', '?')}{variant}"
    if memory is not None:  # the same kernel may run in machines of several sizes
        title += f", {memory:,} MiB"
    facts: Facts = [
        ("kernel", f"{kernel.get('release', '?')} (digest {kernel.get('digest', '?')})"),
        *_kernel(kernel.get("provenance") or {}),
        ("image", f"{image.get('name', '?')} (digest {image.get('digest', '?')})"),
        ("machine", ", ".join(f"{key} {_text(value)}" for key, value in record.machine.items())),
        ("prepared by", shlex.join(record.provision) if record.provision else "nothing"),
        ("emulator", str(record.qemu.get("version", "?"))),
        ("started as", shlex.join(str(word) for word in record.qemu.get("argv", []))),
    ]
    return title, facts


def _kernel(provenance: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source = provenance.get("source") or {}
    if source:
        yield "source", f"Linux {source.get('version', '?')}: {_text(source.get('origin'))}"
    patches = (provenance.get("series") or {}).get("patches") or []
    if patches:
        yield "patches", "\n".join(str(patch.get("name", patch)) for patch in patches)
    if provenance.get("compiler"):
        yield "compiler", _text(provenance["compiler"])
    if "debug_info" in provenance:
        yield "debug information", "yes" if provenance["debug_info"] else "no"


def _text(value: Any) -> str:
    """A value of a manifest for reading."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
