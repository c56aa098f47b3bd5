# SPDX-License-Identifier: Apache-2.0
"""Guests of a real kernel: what works, how each failure is distinguished, and clean-up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.descriptors import descriptors, opened_since

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.errors import EmulatorLost, GuestLost, GuestSplat, GuestTimeout, WorkloadFailed
from driver.guest.boot import boot
from driver.guest.job import Job, Write
from driver.guest.machine import Machine
from driver.guest.session import Guest
from driver.guest.template import Template, Templates
from driver.guest.timeouts import REFERENCE_BOOT_SECONDS, timeout_scale
from driver.store import Store

SMALL = Machine(memory_mib=512, vcpus=1, nvdimm_mib=512)
# A line the kernel prints only when it is in trouble, said through /dev/kmsg.
COMPLAINT = "XFS (pmem0): log I/O error -5"


@pytest.fixture(scope="module")
def template(store: Store, plain: KernelArtifact, image: ImageArtifact) -> Template:
    return Templates(store).get(SMALL, plain, image)


@pytest.fixture
def guest(template: Template, tmp_path: Path) -> Iterator[Guest]:
    """A fork, which is had in a fifth of the time of a boot."""
    with template.fork(tmp_path) as fork:
        assert isinstance(fork, Guest)
        yield fork
    assert not alive(fork.pid)


def soon(seconds: float = 60) -> Deadline:
    return Deadline.after(seconds, "the test")


def shell(line: str) -> Job:
    return Job(argv=["sh", "-c", line])


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and bool(Path(f"/proc/{pid}/cmdline").read_bytes())


def test_jobs_and_what_they_leave_behind(guest: Guest) -> None:
    done = guest.run(
        Job(
            argv=["sh", "-c", "cat /proc/sys/vm/swappiness; echo error >&2; exit 3"],
            setup=[Write("/proc/sys/vm/swappiness", "17")],
        ),
        soon(),
    )
    assert (done.status, done.output) == (3, "17\nerror\n")
    assert guest.run(shell("kill -9 $$"), soon()).status == -signal.SIGKILL
    ended = guest.close()
    assert (ended.ending, ended.status) == ("asked", 0)
    assert guest.close() is ended


def test_dax_is_proven_in_the_guest(guest: Guest) -> None:
    prepared = guest.run(Job(argv=["provision-dax", "data:64"]), soon(120))
    assert prepared.status == 0, prepared.output
    assert "entries of 2 MiB" in prepared.output
    mounts = guest.run(shell("grep /mnt/dax /proc/mounts"), soon()).output
    assert "dax=always" in mounts


def test_nothing_is_left(plain: KernelArtifact, image: ImageArtifact, tmp_path: Path) -> None:
    before = descriptors()
    threads = threading.active_count()
    with boot(SMALL, plain, image, tmp_path) as guest:
        pid = guest.pid
        assert guest.release == plain.release
        assert "Linux version" in guest.console_text()
    assert not alive(pid)
    assert not opened_since(before)
    assert threading.active_count() <= threads + 1  # the thread that starts QEMUs stays
    assert [entry.name for entry in tmp_path.iterdir()] == ["console.log"]


def test_a_panic_is_a_splat(guest: Guest) -> None:
    began = time.monotonic()
    with pytest.raises(GuestSplat) as caught:
        guest.run(Job(argv=["true"], setup=[Write("/proc/sysrq-trigger", "c")]), soon())
    assert caught.value.kind == "panic"
    assert "sysrq triggered crash" in caught.value.message
    assert "Call Trace" in (caught.value.excerpt or "")
    assert caught.value.log is not None
    assert time.monotonic() - began < 15


def test_a_dying_agent_is_a_panic(guest: Guest) -> None:
    with pytest.raises(GuestSplat, match="panic"):
        guest.run(shell("kill -9 $(pidof agent); sleep 100"), soon())


def test_a_splat_counts_although_the_job_succeeded(guest: Guest) -> None:
    with pytest.raises(GuestSplat, match="xfs-shutdown") as caught:
        guest.run(shell(f"echo '<3>{COMPLAINT}' > /dev/kmsg"), soon())
    assert caught.value.exit_status == 4


def test_a_splat_ends_the_job_within_a_second(guest: Guest) -> None:
    with pytest.raises(GuestSplat) as caught:
        guest.run(shell(f"echo '<3>{COMPLAINT}' > /dev/kmsg; sleep 100"), soon(100))
    verdict = time.time()
    assert caught.value.log is not None
    # QEMU has written nothing to the log since that line. A second, if nobody else is in the way.
    scale = timeout_scale(SMALL, REFERENCE_BOOT_SECONDS)
    assert verdict - caught.value.log.stat().st_mtime < scale


def test_a_tolerated_splat_does_not(template: Template, tmp_path: Path) -> None:
    with template.fork(tmp_path, tolerate=frozenset({"xfs-shutdown"})) as guest:
        assert isinstance(guest, Guest)
        done = guest.run(shell(f"echo '<3>{COMPLAINT}' > /dev/kmsg; echo done"), soon())
        assert done.output == "done\n"
        assert [splat.kind for splat in guest.console.splats] == ["xfs-shutdown"]


def test_harmless_words_on_the_console_raise_no_alarm(guest: Guest) -> None:
    line = "echo '<3>BUG: a name; WARNING: a word; panic: a game' > /dev/kmsg; echo done"
    assert guest.run(shell(line), soon()).output == "done\n"
    guest.check()


def test_a_job_that_does_not_end_meets_its_deadline(guest: Guest) -> None:
    with pytest.raises(GuestTimeout) as caught:
        guest.run(shell("while :; do :; done"), soon(2))
    assert caught.value.log is not None


def test_a_program_that_does_not_exist(guest: Guest) -> None:
    with pytest.raises(WorkloadFailed, match="no-such-program"):
        guest.run(Job(argv=["no-such-program"]), soon())
    assert guest.run(shell("echo still here"), soon()).output == "still here\n"


def test_a_guest_that_powers_itself_off_is_lost(guest: Guest) -> None:
    with pytest.raises(GuestLost, match="the guest powered itself off") as caught:
        guest.run(shell("poweroff -f"), soon())
    assert not caught.value.host_fault


def test_a_guest_that_restarts_has_not_powered_itself_off(guest: Guest) -> None:
    with pytest.raises(GuestLost, match="the guest restarted itself") as caught:
        guest.run(shell("reboot -f"), soon())
    assert not caught.value.host_fault


@pytest.mark.parametrize(
    ("number", "said"),
    [(signal.SIGKILL, "killed by SIGKILL"), (signal.SIGTERM, "exited with status 0")],
)
def test_a_qemu_that_is_killed_is_lost_by_the_host(
    guest: Guest, number: signal.Signals, said: str
) -> None:
    threading.Timer(0.5, os.kill, (guest.pid, number)).start()
    with pytest.raises(EmulatorLost, match=said):
        guest.run(shell("sleep 100"), soon(100))


def test_a_guest_can_be_killed_from_another_thread(guest: Guest) -> None:
    threading.Timer(0.5, guest.kill).start()
    with pytest.raises(GuestLost):
        guest.run(shell("sleep 100"), soon(100))
    assert guest.close().ending == "exited"


def test_an_interrupt_ends_the_guest(guest: Guest) -> None:
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt), guest:
        guest.run(shell("sleep 100"), soon(100))
    assert not alive(guest.pid)


def test_an_interrupt_while_booting_ends_the_guest(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    before = descriptors()
    threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        boot(SMALL, plain, image, tmp_path)
    assert not opened_since(before)


def test_a_guest_does_not_outlive_a_killed_driver(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    program = f"""
import time
from pathlib import Path
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.guest.machine import Machine
from driver.guest.boot import boot
none = Path("/nowhere")
kernel = KernelArtifact("k", "r", Path({str(plain.vmlinux)!r}), none, none, none, {{}})
image = ImageArtifact("i", "dax", Path({str(image.initramfs)!r}), {{}})
guest = boot({SMALL!r}, kernel, image, Path({str(tmp_path)!r}))
print(guest.pid, flush=True)
time.sleep(1000)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        assert alive(pid)
        driver.kill()
    until = time.monotonic() + 10
    while alive(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(pid)


def test_a_kernel_without_init_panics(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    machine = replace(SMALL, kernel_args=("rdinit=/nowhere",))
    with pytest.raises(GuestSplat) as caught:
        boot(machine, plain, image, tmp_path)
    assert caught.value.kind == "panic"
    assert "root" in (caught.value.excerpt or "")


def test_a_guest_that_never_gets_ready(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    machine = replace(SMALL, kernel_args=("rdinit=/usr/bin/sleep", "--", "1000"))
    deadline = Deadline.after(6 * timeout_scale(machine, REFERENCE_BOOT_SECONDS), "booting")
    with pytest.raises(GuestTimeout, match="while booting") as caught:
        boot(machine, plain, image, tmp_path, deadline=deadline)
    assert "sleep" in (caught.value.excerpt or "")


def test_a_qemu_that_refuses_to_start_says_why(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    missing = replace(plain, vmlinux=tmp_path / "nothing")
    with pytest.raises(GuestLost, match="QEMU exited with status 1 while booting") as caught:
        boot(SMALL, missing, image, tmp_path)
    assert "could not open kernel file" in (caught.value.excerpt or "")


def test_five_level_page_tables(
    plain: KernelArtifact, image: ImageArtifact, tmp_path: Path
) -> None:
    machine = replace(SMALL, la57=True)
    with boot(machine, plain, image, tmp_path) as guest:
        assert guest.run(shell("grep -c la57 /proc/cpuinfo"), soon()).output == "1\n"
