# SPDX-License-Identifier: Apache-2.0
"""``driver.api`` on real guests: what its how-to page says, and words for QEMU and the kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.documentation import ROOT, Block, blocks

from driver import api
from driver.errors import GuestSplat

PAGE = ROOT / "docs/how-to/use-the-api.md"
SMALL = api.Machine(memory_mib=512, nvdimm_mib=0)


@pytest.mark.parametrize("block", [b for b in blocks(PAGE) if "guest" in b.words], ids=str)
def test_the_page(block: Block, tmp_path: Path) -> None:
    """In a copy of the project, so that its results are nobody's latest."""
    for folder in ("kernel-patches", "guest-images", "experiments"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    done = subprocess.run(
        [sys.executable, "-c", block.text],
        cwd=ROOT,
        env={**os.environ, "DRIVER_PROJECT": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    if "run_experiment" in block.text:
        assert lines[0] == "None"
        assert any(line.startswith("PageTables") for line in lines)
    else:
        assert lines[0] == "0 1"


def test_words_for_kernel_and_qemu_arrive() -> None:
    kernel, image = api.build_kernel(series="none"), api.build_image()
    machine = api.Machine(
        memory_mib=512,
        nvdimm_mib=0,
        kernel_args=("mitigations=off",),
        # A device that does nothing, of a vendor that no other device here is of.
        qemu_args=("-device", "edu"),
    )
    with api.start_guest(kernel, image, machine, provision=None) as guest:
        line = api.run_command(guest, ["cat", "/proc/cmdline"])
        assert line.stdout.split()[-1] == "mitigations=off"
        vendors = api.run_command(guest, "cat /sys/bus/pci/devices/*/vendor")
        assert "0x1234" in vendors.stdout.split()
        assert api.run_command(guest, "exit 3").status == 3


def test_a_file_goes_in_and_comes_out(tmp_path: Path) -> None:
    kernel, image = api.build_kernel(series="none"), api.build_image()
    machine = api.Machine(memory_mib=512, nvdimm_mib=0, ssh=True)
    (tmp_path / "in").write_bytes(bytes(range(256)) * 4096)
    with api.start_guest(kernel, image, machine, provision=None) as guest:
        api.copy_to_guest(guest, tmp_path / "in", "/tmp/it")
        api.copy_from_guest(guest, "/tmp/it", tmp_path / "out")
        failed = api.run_command(guest, "echo no >&2; exit 3")
    assert (tmp_path / "out").read_bytes() == (tmp_path / "in").read_bytes()
    assert failed == api.CommandResult(3, "", "no\n")


def test_a_kernel_that_complains_ends_the_block() -> None:
    kernel, image = api.build_kernel(series="none"), api.build_image()
    with (
        pytest.raises(GuestSplat) as caught,
        api.start_guest(kernel, image, SMALL, provision=None) as guest,
    ):
        api.run_command(
            guest,
            "echo '------------[ cut here ]------------' > /dev/kmsg; "
            "echo 'WARNING: CPU: 0 PID: 1 at mm/memory.c:1 f+0x1/0x2' > /dev/kmsg; true",
        )
    assert caught.value.log is not None
    assert caught.value.log.exists()


def test_the_command_that_is_shown_boots() -> None:
    kernel, image = api.build_kernel(series="none"), api.build_image()
    line = api.guest_command(kernel, image, SMALL)
    with subprocess.Popen(
        ["sh", "-c", line], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    ) as qemu:
        assert qemu.stdout is not None
        try:
            assert any("Run /init as init process" in text for text in qemu.stdout)
        finally:
            qemu.kill()
