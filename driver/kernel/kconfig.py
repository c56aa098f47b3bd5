# SPDX-License-Identifier: Apache-2.0
"""From fragments to a .config in which every request holds.

kconfig drops a symbol whose dependencies are unmet without a word. Here that is an error, which
names the symbol, who asked for it, and what it is waiting for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from driver.atomic_write import write_atomically
from driver.errors import UserError
from driver.kernel.kconfig_explanation import all_symbols, kconfig_files, why_dropped
from driver.kernel.kconfig_fragment import Fragment, SymbolRequest, resolve
from driver.kernel.make import ENVIRONMENT, Make
from driver.kernel.sources.source import base_of, kernel_version
from driver.process import stream
from driver.store import digest_of
from driver.text import enumerated, verb

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_SHOWN = 12


def configure(
    make: Make,
    fragments: Sequence[Fragment],
    compiler: Mapping[str, str],
    others: Mapping[str, Path] = MappingProxyType({}),
) -> None:
    """Write ``.config``: tinyconfig, the fragments in order, then the kernel's own resolution.

    That takes ten seconds of processor time, so it is left out when nothing it reads has changed
    since it last succeeded here. Raises :class:`UserError` when a request did not hold; ``others``
    are kernel trees by version, to say which of them have a symbol that this one lacks.
    """
    requests = list(resolve(fragments).values())
    stamp = make.build / "driver-config.json"
    expected = _inputs(make.tree, fragments, compiler)
    if _recorded(stamp) == [expected, _digest(make.build / ".config")]:
        return
    stamp.unlink(missing_ok=True)
    asked = [request for request in requests if request not in absent(make.tree, requests)]
    make("tinyconfig")
    fragment = make.build / "driver.config"
    fragment.write_text("".join(f"{request}\n" for request in asked), encoding="utf-8")
    stream(
        [make.tree / "scripts/kconfig/merge_config.sh", "-m", "-Q", ".config", fragment],
        cwd=make.build,
        log=make.log,
        env={**ENVIRONMENT, "KCONFIG_CONFIG": str(make.build / ".config")},
    )
    make("olddefconfig")
    config = parse(make.build / ".config")
    dropped = [request for request in asked if not _holds(request, config)]
    if dropped:
        raise _refusal(make.tree, dropped, config, others)
    write_atomically(stamp, json.dumps([expected, _digest(make.build / ".config")]))


def absent(tree: Path, requests: Sequence[SymbolRequest]) -> list[SymbolRequest]:
    """The requests of another base for symbols that this kernel does not have."""
    base = base_of(kernel_version(tree))
    optional = [request for request in requests if not request.required(base)]
    known = all_symbols(kconfig_files(tree)) if optional else set()
    return [request for request in optional if request.symbol not in known]


def parse(path: Path) -> dict[str, str]:
    """The symbols that are set in a .config, without their CONFIG_ prefix."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {match[1]: match[2] for line in lines if (match := _SET.fullmatch(line))}


def _inputs(tree: Path, fragments: Sequence[Fragment], compiler: Mapping[str, str]) -> str:
    """Digest of everything the configuration depends on."""
    read = [*kconfig_files(tree), tree / "Makefile"]
    for folder in ("scripts", "scripts/kconfig", "kernel/configs", "arch/x86/configs"):
        read += sorted(path for path in (tree / folder).glob("*") if path.is_file())
    files = [[str(path.relative_to(tree)), _digest(path)] for path in read]
    return digest_of([files, [part.text for part in fragments], dict(compiler)])


def _recorded(stamp: Path) -> object:
    try:
        return json.loads(stamp.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return "absent"


def _holds(request: SymbolRequest, config: dict[str, str]) -> bool:
    return request.agrees(config.get(request.symbol, "n"))


def _refusal(
    tree: Path,
    dropped: list[SymbolRequest],
    config: dict[str, str],
    others: Mapping[str, Path],
) -> UserError:
    known = all_symbols(kconfig_files(tree))
    unknown = [request for request in dropped if request.symbol not in known]
    elsewhere = {
        request.symbol: [
            version
            for version, other in others.items()
            if other != tree and request.symbol in all_symbols(kconfig_files(other))
        ]
        for request in unknown[:_SHOWN]
    }
    lines = []
    for request in dropped[:_SHOWN]:
        got = config.get(request.symbol, "n")
        why = why_dropped(tree, request.symbol, request.value, config)
        if versions := elsewhere.get(request.symbol):
            why = f"this source has no such symbol; Linux {' and '.join(versions)} has it"
        lines.append(f"{request.place}: {request} became {got}: {why}")
    if len(dropped) > _SHOWN:
        lines.append(f"... and {len(dropped) - _SHOWN} more")
    names = enumerated([f"CONFIG_{request.symbol}" for request in dropped], 3)
    hint = "Also ask for what the symbol depends on, or remove the line."
    if len(unknown) == len(dropped):
        hint = "Correct the name, or remove the line."
    if bases := sorted({base_of(version) for found in elsewhere.values() for version in found}):
        hint = f"If other kernels may lack the symbol, end the line with `# known in {bases[0]}`."
    return UserError(
        f"{names} {verb(len(dropped), 'was', 'were')} requested, but the final .config has "
        f"{verb(len(dropped), 'another value', 'other values')}",
        excerpt="\n".join(lines),
        hint=hint,
    )
