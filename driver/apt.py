# SPDX-License-Identifier: Apache-2.0
"""Asking apt which versions there are of a package, and which it would take.

Debian's order of versions is apt's to know (``1.0~bpo`` is older than ``1.0``); nothing here
compares them by itself.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from driver.process import explaining, run

_POLICY = re.compile(r"(?P<name>[a-z0-9][a-z0-9.+-]*)(:\S+)?:")
_CANDIDATE = re.compile(r"  Candidate: (?P<version>\S+)")
_VERSION = re.compile(r" (?:\*\*\*|   ) (?P<version>\S+) -?\d+")
_PLACE = re.compile(r" {8} *-?\d+ \S+ (?P<suite>[^/\s]+)/\S+ ")


@dataclass(frozen=True)
class Policy:
    """What apt knows of a package: the version it would install ("" for none), and every version,
    newest first, with the suites that carry it.
    """

    candidate: str = ""
    versions: tuple[tuple[str, tuple[str, ...]], ...] = ()


def policies(packages: Iterable[str], *, config: Path | None = None) -> dict[str, Policy]:
    """What apt knows of each package, offline; ``config`` is a further apt.conf.

    0.7 CPU seconds where apt keeps no binary cache (Debian's container images).
    """
    wanted = sorted(packages)
    more = ["-c", str(config)] if config else []
    with explaining("ask apt for versions of packages"):
        shown = run(["apt-cache", *more, "policy", *wanted], env={"LC_ALL": "C"}).stdout
    found = dict.fromkeys(wanted, Policy())
    for block in re.split(r"^(?=\S)", shown, flags=re.MULTILINE):
        heading, *lines = block.splitlines() or [""]
        name = _POLICY.fullmatch(heading)
        if name and name["name"] in found:
            found[name["name"]] = _policy(lines)
    return found


def versions_in(
    suite: str, packages: Iterable[str], *, config: Path | None = None
) -> dict[str, str]:
    """The newest version of each package in a release of Debian ("bookworm") and its updates.

    "" where apt knows none: a host knows the suites that it is installed from.
    """
    suites = {suite, f"{suite}-updates", f"{suite}-security"}
    return {
        name: next((version for version, found in policy.versions if suites & set(found)), "")
        for name, policy in policies(packages, config=config).items()
    }


def newest(versions: Iterable[str]) -> str:
    """The newest of some versions by dpkg's order; ValueError if there are none."""
    return max(versions, key=functools.cmp_to_key(_compare))


def _compare(one: str, other: str) -> int:
    if one == other:
        return 0
    newer = run(["dpkg", "--compare-versions", one, "gt", other], check=False)
    return 1 if newer.status == 0 else -1


def _policy(lines: Sequence[str]) -> Policy:
    candidate = ""
    versions: list[tuple[str, list[str]]] = []
    for line in lines:
        if match := _CANDIDATE.fullmatch(line):
            candidate = "" if match["version"] == "(none)" else match["version"]
        elif match := _VERSION.fullmatch(line):
            versions.append((match["version"], []))
        elif (match := _PLACE.match(line)) and versions:
            versions[-1][1].append(match["suite"])
    return Policy(candidate, tuple((version, tuple(suites)) for version, suites in versions))
