# SPDX-License-Identifier: Apache-2.0
"""The tools a kernel build needs, and the versions that decide what comes out of it."""

from __future__ import annotations

import shutil

from driver.errors import HostError
from driver.process import install_hint, run

# Called by kbuild or by us. `cmp`, `sed`, `awk` and similar tools are Essential in Debian.
_PROGRAMS = ("make", "gcc", "ld", "objcopy", "readelf", "flex", "bison", "bc", "git", "perl")


def identify() -> dict[str, str]:
    """First lines of ``gcc --version`` and ``ld --version``: inputs of every artifact.

    Raises :class:`HostError` naming everything that is missing, in one command to install it.
    """
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if missing:
        raise HostError(
            f"building a kernel needs programs that are not installed: {', '.join(missing)}",
            hint=f"{install_hint(*missing)} (`driver doctor` has the command for Fedora and Arch).",
        )
    return {
        name: run([name, "--version"], env={"LC_ALL": "C"}).stdout.partition("\n")[0]
        for name in ("gcc", "ld")
    }


def check_headers() -> None:
    """Raise :class:`HostError` unless objtool's libelf headers are there (only a build asks)."""
    probe = ["gcc", "-E", "-o", "/dev/null", "-x", "c", "-"]
    if run(probe, stdin="#include <libelf.h>\n", check=False).status != 0:
        raise HostError(
            "building a kernel needs the headers of libelf (objtool uses them)",
            hint="Install them: sudo apt-get install libelf-dev",
        )
