# SPDX-License-Identifier: Apache-2.0
"""Kernels and images in a form that means the same on every host.

What a builder hands out names files below one host's cache. On its way to another host each path
is written relative to the cache, and read back below the other's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import HostError

Built = TypeVar("Built", KernelArtifact, ImageArtifact)

_PATH = "$path"


def pack(built: KernelArtifact | ImageArtifact, cache: Path) -> dict[str, Any]:
    """An artifact as JSON values; raises :class:`HostError` for a file outside the cache."""
    found = {field.name: getattr(built, field.name) for field in dataclasses.fields(built)}
    return {name: _packed(value, cache) for name, value in found.items()}


def unpack(kind: type[Built], packed: dict[str, Any], cache: Path) -> Built:
    """The artifact, with its files below this host's cache."""
    return kind(**{name: _unpacked(value, cache) for name, value in packed.items()})


def artifacts_in(packed: dict[str, Any]) -> set[tuple[str, str]]:
    """Kind and directory of the store's artifacts that hold the files."""
    return {(path.parts[0], path.parts[1]) for path in _paths(packed)}


def _packed(value: Any, cache: Path) -> Any:
    if isinstance(value, Path):
        try:
            return {_PATH: value.relative_to(cache).as_posix()}
        except ValueError:
            raise HostError(f"{value} is outside the cache {cache} and cannot be sent") from None
    if isinstance(value, dict):
        return {name: _packed(each, cache) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_packed(each, cache) for each in value]
    return value


def _unpacked(value: Any, cache: Path) -> Any:
    if isinstance(value, dict):
        if set(value) == {_PATH}:
            return cache / _inside(value[_PATH])
        return {name: _unpacked(each, cache) for name, each in value.items()}
    if isinstance(value, list):
        return [_unpacked(each, cache) for each in value]
    return value


def _paths(value: Any) -> Iterator[PurePosixPath]:
    if isinstance(value, dict):
        if set(value) == {_PATH}:
            yield _inside(value[_PATH])
        else:
            for each in value.values():
                yield from _paths(each)
    elif isinstance(value, list):
        for each in value:
            yield from _paths(each)


def _inside(text: Any) -> PurePosixPath:
    """A path of a file in an artifact, and of nothing else on a host."""
    path = PurePosixPath(str(text))
    if path.is_absolute() or ".." in path.parts or len(path.parts) < 3:
        raise HostError(f"{text!r} cannot be a file of an artifact")
    return path
