# SPDX-License-Identifier: Apache-2.0
"""Reading manifests of earlier schema versions: each step makes one version the next.

A step says what is known of such a run and leaves None where nothing is. Manifests on disk are not
rewritten by it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from driver.results.schema import SCHEMA_VERSION
from driver.text import as_written

Content = dict[str, Any]

# What ``icount`` was called.
_ICOUNT_IN_V1 = "exact"


class UnknownSchema(ValueError):
    """A manifest of a schema version that this driver does not know."""


def migrate(content: Content) -> Content:
    """The content of a manifest in the present schema; raises :class:`UnknownSchema`.

    What a step needs and does not find is left to the validation that follows.
    """
    version = content.get("schema_version")
    # JSON's true equals 1 in Python, and 2.0 equals 2: the type has to be right as well.
    while type(version) is not int or version != SCHEMA_VERSION:
        step = _STEPS.get(version) if type(version) is int else None
        if step is None:
            readable = ", ".join(map(str, [*sorted(_STEPS), SCHEMA_VERSION]))
            raise UnknownSchema(f"it has {_named(version)}; this driver reads {readable}")
        content = step(content)
        version = content["schema_version"]
    return content


def _named(version: object) -> str:
    return "no schema version" if version is None else f"the schema version {as_written(version)}"


def _from_1(content: Content) -> Content:
    """Version 1 typed nothing below ``guests``, and called icount ``exact``.

    Trials under icount always had a digest of their NVDIMM.
    """
    guests, options = content.get("guests"), content.get("options")
    if isinstance(options, dict):
        options = {**options, "digest_nvdimm": content.get("accelerator") == _ICOUNT_IN_V1}
    return {
        **content,
        "schema_version": 2,
        "options": options,
        "accelerator": _accelerator(content.get("accelerator")),
        "guests": [_guest_from_1(guest) for guest in guests]
        if isinstance(guests, list)
        else guests,
    }


def _guest_from_1(guest: Any) -> Any:
    if not isinstance(guest, dict):
        return guest
    machine = _table(guest, "machine")
    if isinstance(machine, dict):
        machine = {**machine, "accel": _accelerator(machine.get("accel"))}
    kernel = _table(guest, "kernel", variant=None, release=None, provenance=None)
    if isinstance(kernel, dict) and isinstance(kernel["provenance"], dict):
        provenance = _table(kernel, "provenance", seeded_from=None, debug_info=None)
        kernel = {**kernel, "provenance": provenance}
    return {
        **guest,
        "machine": machine,
        "kernel": kernel,
        "image": _table(guest, "image", provenance=None),
        "qemu": _table(guest, "qemu", template=None, template_digests=None),
    }


def _table(parent: Mapping[str, Any], name: str, **unknown: None) -> Any:
    """A table of version 1 with None for what it may lack."""
    found = parent.get(name)
    return {**unknown, **found} if isinstance(found, dict) else found


def _accelerator(value: Any) -> Any:
    return "icount" if value == _ICOUNT_IN_V1 else value


_STEPS: Mapping[int, Callable[[Content], Content]] = {1: _from_1}
