# SPDX-License-Identifier: Apache-2.0
"""The programs, headers and data files the driver needs, and the packages that ship them.

A test compares the table with ``debian-packages.txt``: a package that is in one of them only fails
it.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from driver.doctor.finding import CheckStatus, Finding
from driver.doctor.systems import System, install_command
from driver.errors import HostError
from driver.process import run

# A program that does not print its version within this many seconds is broken.
_PATIENCE = 10.0
_VERSION = re.compile(r"\d+(?:\.\d+)+[\w.+~-]*")


@dataclass(frozen=True)
class Tool:
    """Something that must be installed.

    Exactly one of ``program`` (looked for on PATH), ``header`` (looked for by the C compiler),
    ``library`` (looked for by the linker) and ``file`` is set. ``version`` are the words that make
    a program print its version, and ``least`` is the oldest that works, where an older one is known
    not to. ``needed`` is false for what only some users need.
    """

    debian: str
    fedora: str
    arch: str
    purpose: str
    program: str = ""
    header: str = ""
    library: str = ""
    file: str = ""
    version: tuple[str, ...] = ("--version",)
    least: str = ""
    needed: bool = True
    title: str = ""

    @property
    def name(self) -> str:
        """What a person calls it; two tools may be the same program."""
        return self.title or self.program or self.header or self.library or Path(self.file).name

    def remedy(self) -> dict[System, str]:
        """The command that installs it, by system."""
        return {system: install_command(system, [self.package(system)]) for system in System}

    def package(self, system: System) -> str:
        """What it comes in."""
        return {System.DEBIAN: self.debian, System.FEDORA: self.fedora, System.ARCH: self.arch}[
            system
        ]


def _same(
    package: str, purpose: str, *, program: str = "", least: str = "", needed: bool = True
) -> Tool:
    """A program in a package that is called the same everywhere."""
    return Tool(
        package, package, package, purpose, program=program or package, least=least, needed=needed
    )


_KERNEL = "building kernels"
_IMAGE = "building guest images"
# The least versions for building kernels are those of Documentation/process/changes.rst of Linux
# 6.12; a comment names the source of any other.
TOOLS: tuple[Tool, ...] = (
    _same("make", _KERNEL, least="4.0"),
    Tool("build-essential", "gcc", "gcc", _KERNEL, program="gcc", least="5.1"),
    Tool("build-essential", "binutils", "binutils", _KERNEL, program="ld", least="2.25"),
    Tool("build-essential", "glibc-static", "glibc", "static guest programs", library="libc.a"),
    _same("bc", _KERNEL, least="1.06.95"),
    _same("bison", _KERNEL, least="2.0"),
    _same("flex", _KERNEL, least="2.5.35"),
    _same("git", "applying patch series", least="2.31"),  # rev-parse --path-format
    _same("perl", f"{_KERNEL}; checkpatch"),
    Tool("libelf-dev", "elfutils-libelf-devel", "libelf", _KERNEL, header="libelf.h"),
    Tool("xz-utils", "xz", "xz", "unpacking kernel sources", program="xz"),
    Tool(
        "python3", "python3", "python", "the driver itself", program="python3", least="3.11",
    ),  # pyproject.toml
    Tool(
        "python3-venv", "python3", "python", "making .venv", program="python3",
        version=("-c", "import ensurepip; print(ensurepip.version())"), title="python3 -m venv",
    ),
    Tool(
        "qemu-system-x86", "qemu-system-x86", "qemu-system-x86", "running guests",
        program="qemu-system-x86_64", least="7.0",
    ),  # -machine i8042=off
    Tool("apt", "apt", "apt", "Debian's kernel sources and packages", program="apt-get"),
    Tool("mmdebstrap", "mmdebstrap", "mmdebstrap", _IMAGE, program="mmdebstrap"),
    Tool(
        "erofs-utils", "erofs-utils", "erofs-utils", f"{_IMAGE} that are whole Debian systems",
        program="mkfs.erofs", needed=False,
    ),
    Tool(
        "uidmap", "shadow-utils", "shadow", f"{_IMAGE} that are whole Debian systems, without root",
        program="newuidmap", needed=False,
    ),
    Tool(
        "debian-archive-keyring", "debian-keyring", "debian-archive-keyring",
        f"{_IMAGE}: Debian's signatures", file="/usr/share/keyrings/debian-archive-keyring.gpg",
    ),
    Tool(
        "libssl-dev", "openssl-devel", "openssl", "kernels configured with keys or modules",
        header="openssl/ssl.h", needed=False,
    ),
    _same("kmod", "kernels configured with modules", program="depmod", needed=False),
    _same("cpio", "kernels configured with an initramfs or headers of their own", needed=False),
    _same("zstd", "kernels configured with zstd compression", needed=False),
    Tool("qemu-utils", "qemu-img", "qemu-img", "looking into disk images by hand",
         program="qemu-img", needed=False),
    _same("rsync", "`make headers_install` in a kernel tree", needed=False),
    Tool("shellcheck", "ShellCheck", "shellcheck", "`make lint`", program="shellcheck",
         needed=False),
    _same("sparse", "the sparse part of `driver patch check`", needed=False),
    _same("gdb", "debugging a guest kernel", needed=False),
)  # fmt: skip


def examine_tools(tools: Iterable[Tool] = TOOLS) -> list[Finding]:
    """Look for every tool; never raises."""
    return [_examine(tool) for tool in tools]


def _examine(tool: Tool) -> Finding:
    if tool.program:
        found = _program(tool)
    elif tool.file:
        found = tool.file if Path(tool.file).is_file() else None
    elif tool.header:
        found = _header(tool.header)
    else:
        found = _library(tool.library)
    if found is not None and not _older(found, tool.least):
        return Finding("tools", tool.name, CheckStatus.OK, found, tool.purpose)
    reason = "not found" if found is None else f"{found}, too old: {tool.least} or newer is needed"
    verdict = CheckStatus.MISSING if tool.needed else CheckStatus.NOTE
    return Finding("tools", tool.name, verdict, reason, tool.purpose, tool.remedy())


def _older(version: str, least: str) -> bool:
    """Whether a version is known to be older; an unknown one is not."""
    return bool(least) and _numbers(version) < _numbers(least) and _numbers(version) != []


def _numbers(version: str) -> list[int]:
    """``[2, 40]`` of ``2.40-1``; nothing of a path."""
    leading = re.match(r"[\d.]*", version)
    return [int(number) for number in re.findall(r"\d+", leading[0] if leading else "")]


def _program(tool: Tool) -> str | None:
    """Its version, or its path if it prints none; None if it is missing or does not run."""
    # Debian keeps some tools outside the PATH of ordinary users.
    path = shutil.which(tool.program) or shutil.which(tool.program, path="/usr/sbin:/sbin")
    if path is None:
        return None
    try:
        done = run([path, *tool.version], check=False, timeout=_PATIENCE, env={"LC_ALL": "C"})
    except (HostError, OSError):
        return None
    if done.status != 0 and tool.version != ("--version",):
        return None
    version = _VERSION.search(done.stdout + done.stderr)
    return version[0] if version else path


def _header(name: str) -> str | None:
    try:
        done = run(["gcc", "-E", "-x", "c", "-"], stdin=f"#include <{name}>\n", check=False)
    except HostError:
        return None
    place = re.search(rf'^# 1 "(/\S*{re.escape(name)})"', done.stdout, re.M)
    return place[1] if done.status == 0 and place else None


def _library(name: str) -> str | None:
    try:
        printed = run(["gcc", f"-print-file-name={name}"], check=False).stdout.strip()
    except HostError:
        return None
    # gcc repeats the bare name of a file it does not find.
    return str(Path(printed).resolve()) if Path(printed).is_absolute() else None
