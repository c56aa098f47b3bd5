# SPDX-License-Identifier: Apache-2.0
"""One module per source of counters; adding a source means adding one module here.

A module is a source when it defines ``SOURCE``, a :class:`driver.counters.source.CounterSource`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from driver.counters.source import CounterSource


@cache
def sources() -> Mapping[str, CounterSource]:
    """Every known source by name, in alphabetical order."""
    found: dict[str, CounterSource] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        source = getattr(importlib.import_module(f"{__name__}.{module.name}"), "SOURCE", None)
        if isinstance(source, CounterSource):
            if source.name in found:
                raise ValueError(f"two modules define the counter source {source.name!r}")
            found[source.name] = source
    return MappingProxyType(found)


@cache
def by_path() -> Mapping[str, CounterSource]:
    """The same sources by the path the guest agent knows them under."""
    return MappingProxyType({source.path: source for source in sources().values()})
