# SPDX-License-Identifier: Apache-2.0
"""Calling the kernel's make: out of tree, and with the same result for every user."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from driver.errors import UserError
from driver.process import stream

# Time, user, host and count would otherwise end up in the kernel's banner and make every build of
# the same inputs differ. The rest keeps variables of the caller's environment from changing it:
# a make variable on the command line wins.
_FIXED = {
    "ARCH": "x86_64",
    "CROSS_COMPILE": "",
    "LLVM": "",
    "CC": "gcc",
    "HOSTCC": "gcc",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01 00:00:00 UTC",
    "KBUILD_BUILD_USER": "driver",
    "KBUILD_BUILD_HOST": "localhost",
    "KBUILD_BUILD_VERSION": "1",
    "KCFLAGS": "",
    "KAFLAGS": "",
    "KCPPFLAGS": "",
    "HOSTCFLAGS": "",
    "HOSTLDFLAGS": "",
}
# A driver started by make inherits the flags and job slots of that make, which are not for us.
# GIT_DIR and similar variables would make setlocalversion ask the wrong repository.
_UNSET: dict[str, str | None] = dict.fromkeys(
    (
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
        "MAKEOVERRIDES",
        "GNUMAKEFLAGS",
        "KBUILD_OUTPUT",
        "KBUILD_EXTMOD",
        "KCONFIG_CONFIG",
        "KCONFIG_ALLCONFIG",
        "GIT_DIR",
        "GIT_WORK_TREE",
    )
)
ENVIRONMENT: dict[str, str | None] = {**_UNSET, "LC_ALL": "C"}


@dataclass(frozen=True)
class Make:
    """make for one source tree and one build directory.

    ``localversion`` is appended to the kernel release; it also keeps kbuild from appending a "+"
    that depends on the state of someone's git.
    """

    tree: Path
    build: Path
    jobs: int
    localversion: str

    def __post_init__(self) -> None:
        for path in (self.tree, self.build):
            if any(character in str(path) for character in " :"):
                raise UserError(
                    f"kbuild cannot work in {path}: the path contains a space or a colon",
                    hint="Move the source, or set DRIVER_CACHE, to a path without them.",
                )

    @property
    def log(self) -> Path:
        """Everything make printed since the last :meth:`fresh_log`."""
        return self.build / "build.log"

    def fresh_log(self) -> None:
        self.log.unlink(missing_ok=True)

    def __call__(self, *targets: str, on_line: Callable[[str], None] = lambda _line: None) -> None:
        """Make the targets; :class:`~driver.process.CommandFailed` if that fails."""
        variables = {**_FIXED, "LOCALVERSION": self.localversion}
        words = [f"{name}={value}" for name, value in variables.items()]
        where = ["make", "-C", str(self.tree), f"O={self.build}", f"-j{self.jobs}"]
        stream([*where, *words, *targets], log=self.log, on_line=on_line, env=ENVIRONMENT)
