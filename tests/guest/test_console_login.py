# SPDX-License-Identifier: Apache-2.0
"""A guest whose image has no agent of ours: getty and login on its console, then SSH."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import GuestSplat, GuestTimeout, UserError, WorkloadFailed
from driver.guest.boot import boot
from driver.guest.machine import Machine
from driver.guest.session import Guest
from driver.guest.ssh_keys import Keys
from driver.image import cpio

# PID 1 of a guest as others make it: no agent, a network, an SSH server with keys of its own.
INIT = """#!/bin/sh
mkdir -p /proc /sys /dev /tmp
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts && mount -t devpts devpts /dev/pts
ip link set lo up
ip link set eth0 up
ip address add 10.0.2.15/24 dev eth0
dropbear -E -s -r /etc/ssh/host_key 2>/dev/null
while :; do
    {getty}
done
"""
PASSWORD = "correct horse"
# openssl passwd -6 -salt salt "correct horse"
HASHED = (
    "$6$salt$pfWEh40/jW3sybE9zOQ9fIpZ9F6fyy/jogzYisHAyINpuc9icJd187oNK8pukepHV.QSHFtNVGUeWCRJCE9G4/"
)
WITH_PASSWORD = "busybox getty -L 115200 ttyS0 vt100"
WITHOUT = "busybox setsid busybox cttyhack sh -l </dev/ttyS0 >/dev/ttyS0 2>&1"


@pytest.fixture(scope="module")
def plain(kernel: Callable[[str], KernelArtifact]) -> KernelArtifact:
    return kernel("none")


def soon(seconds: float = 120) -> Deadline:
    return Deadline.after(seconds, "the test")


@contextmanager
def foreign(
    kernel: KernelArtifact, image: ImageArtifact, directory: Path, getty: str
) -> Iterator[Guest]:
    """A guest of an image that the driver knows nothing of."""
    keys = Keys.generate()
    overlay = directory / "overlay.cpio"
    cpio.write(
        overlay,
        {
            "/foreign-init": cpio.File(INIT.format(getty=getty).encode(), 0o755),
            "/usr/bin/login": cpio.Link("busybox"),
            "/etc/passwd": cpio.File(b"root:x:0:0:root:/root:/bin/sh\n"),
            "/etc/shadow": cpio.File(f"root:{HASHED}:19000:0:99999:7:::\n".encode(), 0o600),
            "/etc/ssh/host_key": cpio.File(keys.host_private, 0o600),
            "/etc/ssh/ssh_host_ed25519_key.pub": cpio.File(
                f"ssh-ed25519 {keys.host_key} root@guest\n".encode()
            ),
        },
    )
    initramfs = directory / "foreign.cpio"
    cpio.concatenate([image.initramfs, overlay], initramfs)
    machine = Machine(memory_mib=512, nvdimm_mib=0, ssh=True, kernel_args=("rdinit=/foreign-init",))
    image = dataclasses.replace(image, initramfs=initramfs)
    with boot(machine, kernel, image, directory, console=True, agent=False) as guest:
        yield guest


def test_a_password_then_commands_then_files_over_ssh(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    with foreign(plain, image, tmp_path, WITH_PASSWORD) as guest:
        with pytest.raises(UserError, match="refused the password of root"):
            guest.log_in(password="wrong horse", deadline=soon())
        session = guest.log_in(password=PASSWORD, deadline=soon())
        assert session.run("id -un; tty <&1; uname -r", soon()).output.split() == [
            "root",
            "/dev/ttyS0",
            plain.release,
        ]
        assert session.run("exit 5", soon()).status == 5
        with pytest.raises(GuestTimeout):
            session.run("sleep 1000", soon(2))
        long = f": {'x' * 5000}; echo \"$((6 * 7)) it's\" 'ä'"
        assert session.run(long, soon()).output == "42 it's ä\n"

        login = session.authorize(Keys.generate(), soon())
        data = os.urandom(300_000)
        (tmp_path / "up").write_bytes(data)
        with guest.ssh(soon(), login=login) as ssh:
            assert ssh.run("exit 3", soon()).status == 3
            with pytest.raises(WorkloadFailed, match="cannot write /nowhere/file in the guest"):
                ssh.upload(tmp_path / "up", "/nowhere/file", soon())
            ssh.upload(tmp_path / "up", "/tmp/a file", soon(), mode=0o600)
            ssh.download("/tmp/a file", tmp_path / "down", soon())
        assert (tmp_path / "down").read_bytes() == data
        assert session.run("stat -c %a '/tmp/a file'", soon()).output == "600\n"


def test_a_shell_that_asks_nobody_and_a_kernel_that_complains(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    with foreign(plain, image, tmp_path, WITHOUT) as guest:
        session = guest.log_in(deadline=soon())
        assert session.run(["echo", "two words"], soon()).output == "two words\n"
        with pytest.raises(GuestSplat, match="panic"):
            session.run("echo c >/proc/sysrq-trigger", soon())
