# SPDX-License-Identifier: Apache-2.0
"""The systems whose package managers the doctor knows."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Iterable
from pathlib import Path

_OS_RELEASE = Path("/etc/os-release")


class System(enum.StrEnum):
    """A family of distributions that install packages by the same command and names."""

    DEBIAN = "debian"
    FEDORA = "fedora"
    ARCH = "arch"


TITLES = {System.DEBIAN: "Debian, Ubuntu", System.FEDORA: "Fedora", System.ARCH: "Arch Linux"}
_INSTALL = {
    System.DEBIAN: "sudo apt-get install",
    System.FEDORA: "sudo dnf install",
    System.ARCH: "sudo pacman -S --needed",
}
# On Arch these are built from the user repository, with one command each.
_BUILT_BY_USERS = frozenset({"mmdebstrap"})


def detect(os_release: Path | None = None) -> System | None:
    """The family this machine says it belongs to (os-release(5)); None if it is none of them."""
    try:
        text = (os_release or _OS_RELEASE).read_text(encoding="utf-8")
    except OSError:
        return None
    fields = dict(line.split("=", 1) for line in shlex.split(text, comments=True) if "=" in line)
    names = [fields.get("ID", ""), *fields.get("ID_LIKE", "").split()]
    for name in names:
        if name in ("rhel", "centos"):
            return System.FEDORA
        if name in ("ubuntu", *System):
            return System.DEBIAN if name == "ubuntu" else System(name)
    return None


def install_command(system: System, packages: Iterable[str]) -> str:
    """One line that installs all the packages."""
    wanted = sorted(set(packages))
    if system is not System.ARCH:
        return " ".join([_INSTALL[system], *wanted])
    from_users = [package for package in wanted if package in _BUILT_BY_USERS]
    packaged = [package for package in wanted if package not in _BUILT_BY_USERS]
    commands = [" ".join([_INSTALL[system], *packaged])] if packaged else []
    commands += [
        f"git clone https://aur.archlinux.org/{package}.git && (cd {package} && makepkg -si)"
        for package in from_users
    ]
    return " && ".join(commands)
