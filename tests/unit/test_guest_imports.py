# SPDX-License-Identifier: Apache-2.0
"""What only a person at a guest needs is not loaded by those who measure in it."""

from __future__ import annotations

import subprocess
import sys

import pytest

_SHOW = "import sys, {module}; print(*{{'pexpect', 'paramiko'}} & set(sys.modules))"


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("driver.guest.accel", ""),
        ("driver.guest.template", ""),
        ("driver.guest.debug_sockets", ""),
        ("driver.doctor", ""),
        ("driver.guest.console_login", "pexpect"),
        ("driver.guest.ssh", "paramiko"),
    ],
)
def test_terminals_and_ssh_are_loaded_by_who_uses_them(module: str, loaded: str) -> None:
    program = [sys.executable, "-c", _SHOW.format(module=module)]
    assert subprocess.run(program, capture_output=True, text=True, check=True).stdout == (
        f"{loaded}\n"
    )
