# SPDX-License-Identifier: Apache-2.0
"""How a person's debugger gets at the kernel of a guest."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

from driver.api.decoding import DEBUG_INFO
from driver.errors import HostError
from driver.kernel.symbols import Symbols


def how_to_debug(kernel: Path, socket: Path) -> str:
    """What to paste into another terminal, for the kernel in an artifact's folder.

    ``socket`` is where QEMU waits for the debugger.
    """
    symbols = Symbols.of_kernel(kernel)
    line = shlex.join(["gdb", "-ex", f"target remote {socket}", str(symbols.path)])
    lines = [
        "Debug the guest's kernel from another terminal:",
        f"  {line}",
        "It stops the guest. Then, for example:",
        "  break handle_mm_fault     stop at the next page fault",
        "  continue                  resume the guest; Ctrl-C stops it again",
        "  backtrace                 how the kernel got here",
        "  detach                    leave the guest running",
    ]
    if not _has_lines(symbols):
        lines.append(
            "This kernel has names only: backtraces, types and source lines need "
            f"--variant {DEBUG_INFO}."
        )
    if shutil.which("gdb") is None:
        lines.append("There is no gdb on this machine: sudo apt-get install gdb")
    return "\n".join(lines)


def _has_lines(symbols: Symbols) -> bool:
    try:
        return symbols.has_lines
    except HostError:  # no readelf: the debugger will say the rest
        return True
