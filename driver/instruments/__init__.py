# SPDX-License-Identifier: Apache-2.0
"""Instruments: QEMU plugins that watch every instruction of a guest and change nothing in it.

A module is an instrument when it defines ``INSTRUMENT``, an
:class:`driver.instruments.instrument.Instrument`; its plugin is the C file of that name next to it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from driver.instruments.instrument import Instrument


@cache
def instruments() -> Mapping[str, Instrument]:
    """Every instrument by name, in alphabetical order."""
    found: dict[str, Instrument] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        one = getattr(importlib.import_module(f"{__name__}.{module.name}"), "INSTRUMENT", None)
        if isinstance(one, Instrument):
            found[one.name] = one
    return MappingProxyType(found)
