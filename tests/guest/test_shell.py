# SPDX-License-Identifier: Apache-2.0
"""`driver shell` as a person has it: a terminal, a prompt, a way out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pexpect

SMALL = ["--series", "none", "--memory", "512", "--vcpus", "1", "--nvdimm", "1280"]
PROMPT = r"\r\n[^\r\n]*# "


@contextmanager
def shell(*options: str) -> Iterator[pexpect.spawn[str]]:
    """The driver in a terminal of its own, once the guest is there."""
    driver = pexpect.spawn(
        sys.executable,
        ["-m", "driver.cli.main", "shell", *SMALL, *options],
        env={**os.environ, "TERM": "xterm"},
        encoding="utf-8",
        timeout=240,
        dimensions=(30, 132),
    )
    try:
        driver.expect("/mnt/dax is mounted DAX")
        yield driver
    finally:
        driver.close(force=True)


def test_a_shell_over_ssh() -> None:
    with shell() as driver:
        driver.expect(PROMPT)
        driver.sendline("stty size; grep -c dax=always /proc/mounts; exit 3")
        driver.expect("30 132\r\n1\r\n")
        driver.expect(pexpect.EOF)
        driver.close()
        assert driver.exitstatus == 3


def test_a_shell_on_the_console() -> None:
    with shell("--console") as driver:
        driver.sendline("")
        driver.expect(PROMPT)
        driver.sendline("grep -c dax=always /proc/mounts; cat /sys/class/net/*/address | wc -l")
        driver.expect("\r\n1\r\n")  # DAX
        driver.expect("[01]\r\n")  # the loopback's address, if there is one, and no network card
        driver.send("\x1d")
        driver.expect(pexpect.EOF)
