# SPDX-License-Identifier: Apache-2.0
"""The argument list of QEMU, held against the lists that were measured to work."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.guest.machine import Machine
from driver.guest.qemu_args import Files, Ports, argv

FILES = Files(Path("/k/vmlinux"), Path("/i/initramfs"), Path("/r/console.log"))
FORKED = replace(FILES, ram=Path("/t/ram"), nvdimm=Path("/t/nvdimm"))
PORTS = Ports(monitor=5, agent=7)
EXACT = Ports(monitor=5, output=7, job=9, start_trigger=11)

COLD = """
qemu-system-x86_64 -no-user-config -nodefaults -display none
-machine q35,nvdimm=on,sata=off,i8042=off,vmport=off,smbus=off,hpet=off,memory-backend=ram
-cpu max,la57=off -smp 2 -bios qboot.rom
-accel tcg
-m 1024M,slots=1,maxmem=4226M
-object memory-backend-ram,id=ram,size=1024M
-object memory-backend-ram,id=pmem,size=1154M
-device nvdimm,id=nvdimm0,memdev=pmem,label-size=2M
-kernel /k/vmlinux -initrd /i/initramfs
-append 'console=ttyS0 panic=-1 pty.legacy_count=0 no_timer_check tsc=reliable'
-chardev socket,id=monitor,fd=5 -mon chardev=monitor,mode=control
-chardev file,id=console,path=/r/console.log -serial chardev:console
-chardev socket,id=agent,fd=7
-device virtio-serial-pci,max_ports=2,ioeventfd=on
-device virtserialport,chardev=agent,name=driver.agent
-no-reboot
"""

FORK = """
qemu-system-x86_64 -no-user-config -nodefaults -display none
-machine q35,nvdimm=on,sata=off,i8042=off,vmport=off,smbus=off,hpet=off,memory-backend=ram
-cpu max,la57=off -smp 1 -bios qboot.rom
-accel tcg -icount shift=3,sleep=off -rtc base=2020-01-01T00:00:00,clock=vm -seed 1
-m 1024M,slots=1,maxmem=4226M
-object memory-backend-file,id=ram,size=1024M,mem-path=/t/ram,share=off
-object memory-backend-file,id=pmem,size=1154M,mem-path=/t/nvdimm,share=off
-device nvdimm,id=nvdimm0,memdev=pmem,label-size=2M
-kernel /k/vmlinux -initrd /i/initramfs
-append 'console=ttyS0 panic=-1 pty.legacy_count=0 no_timer_check tsc=reliable'
-chardev socket,id=monitor,fd=5 -mon chardev=monitor,mode=control
-chardev file,id=console,path=/r/console.log -serial chardev:console
-chardev file,id=agent,path=/proc/self/fd/7
-device virtio-serial-pci,max_ports=2,ioeventfd=off
-device virtserialport,chardev=agent,name=driver.agent
-fw_cfg name=opt/driver/job,file=/proc/self/fd/9
-chardev socket,id=start_trigger,fd=11 -serial chardev:start_trigger
-device i6300esb -action watchdog=pause
-no-reboot
-S -incoming defer
"""


def test_cold_boot() -> None:
    assert argv(Machine(vcpus=2), FILES, PORTS) == shlex.split(COLD)


def test_exact_fork() -> None:
    machine = Machine(accel="icount")
    assert argv(machine, FORKED, EXACT, incoming=True) == shlex.split(FORK)


def test_an_exact_template_in_the_making_is_the_same_machine() -> None:
    """But that its memory is shared with the template's files, and nobody has saved a state."""
    machine = Machine(accel="icount")
    fork = argv(machine, FORKED, EXACT, incoming=True)
    made = argv(machine, replace(FORKED, shared=True), EXACT, held=True)
    assert fork[-3:] == ["-S", "-incoming", "defer"]
    assert [word.replace("share=on", "share=off") for word in made] == fork[:-2]


def test_an_exact_guest_can_also_take_jobs_from_its_channel() -> None:
    words = argv(Machine(accel="icount"), FORKED, replace(EXACT, output=None, agent=7))
    assert "socket,id=agent,fd=7" in words
    assert "-S" not in words


def option(words: list[str], name: str) -> list[str]:
    return [value for key, value in pairwise(words) if key == name]


def test_ssh_adds_a_network_reachable_from_this_host_only() -> None:
    words = argv(Machine(ssh=True), FILES, PORTS)
    (netdev,) = option(words, "-netdev")
    assert "hostfwd=tcp:127.0.0.1:0-:22" in netdev
    assert "driver.ssh" in option(words, "-append")[0].split()
    assert not option(argv(Machine(), FILES, PORTS), "-netdev")


def test_only_a_template_in_the_making_writes_to_its_files() -> None:
    machine = Machine()
    shared = [
        word for word in argv(machine, replace(FORKED, shared=True), PORTS) if "share=on" in word
    ]
    assert len(shared) == 2
    assert not [word for word in argv(machine, FORKED, PORTS) if "share=on" in word]


def test_a_comma_in_a_path_does_not_end_the_option() -> None:
    files = replace(FORKED, nvdimm=Path("/a,b/nvdimm"), console_log=Path("/c,d/log"))
    words = argv(Machine(), files, PORTS)
    assert any("mem-path=/a,,b/nvdimm," in word for word in words)
    assert any(word.endswith("path=/c,,d/log") for word in words)


def test_a_live_console_is_logged_all_the_same() -> None:
    words = argv(Machine(), FILES, replace(PORTS, console=13))
    assert "socket,id=console,fd=13,logfile=/r/console.log" in words


def test_a_debugger_may_wait() -> None:
    words = argv(Machine(), FILES, replace(PORTS, gdb=Path("/r/gdb")))
    assert option(words, "-gdb") == ["unix:/r/gdb,server=on,wait=off"]


def test_no_nvdimm() -> None:
    words = argv(Machine(nvdimm_mib=0), FILES, PORTS)
    assert option(words, "-m") == ["1024M"]
    assert not any("nvdimm0" in word for word in words)


def test_kernel_arguments_come_last_so_that_they_win() -> None:
    machine = Machine(kernel_args=("panic=10", "dax_share_page_tables=1"))
    assert option(argv(machine, FILES, PORTS), "-append")[0].endswith(
        "panic=10 dax_share_page_tables=1"
    )


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"memory_mib": 64}, "64 MiB of memory"),
        ({"vcpus": 0}, "0 processors"),
        ({"vcpus": 9}, "9 processors"),
        ({"nvdimm_mib": 1000}, "NVDIMM of 1000 MiB"),
        ({"nvdimm_mib": -16}, "NVDIMM of -16 MiB"),
        ({"accel": "icount", "ssh": True}, "cannot have a network"),
        ({"icount_shift": 11}, "icount shift 11"),
    ],
)
def test_impossible_machines_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Machine(**change)  # type: ignore[arg-type]
