# SPDX-License-Identifier: Apache-2.0
"""The argument list of QEMU: one listing that was measured to work, and what varies."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from driver.errors import UserError
from driver.guest.machine import Accel, Machine
from driver.guest.qemu_args import Files, Ports, argv
from driver.guest.standalone import standalone_command

FILES = Files(Path("/k/vmlinux"), Path("/i/initramfs"), Path("/r/console.log"))
FORKED = replace(FILES, ram=Path("/t/ram"), nvdimm=Path("/t/nvdimm"))
PORTS = Ports(monitor=5, agent=7)
ICOUNT = Ports(monitor=5, output=7, job=9, start_trigger=11)

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


def test_cold_boot() -> None:
    assert argv(Machine(vcpus=2), FILES, PORTS) == shlex.split(COLD)


def option(words: list[str], name: str) -> list[str]:
    return [value for key, value in pairwise(words) if key == name]


def test_icount_makes_time_a_count_of_instructions() -> None:
    words = argv(Machine(accel="icount"), FORKED, ICOUNT)
    assert option(words, "-accel") == ["tcg"]
    assert option(words, "-icount") == ["shift=3,sleep=off"]
    assert option(words, "-rtc") == ["base=2020-01-01T00:00:00,clock=vm"]
    assert option(words, "-seed") == ["1"]
    # Neither the processor nor the addresses of a process are the emulator's to choose.
    assert option(words, "-cpu")[0].startswith("qemu64-v1,")
    assert "norandmaps" in option(words, "-append")[0].split()
    assert "norandmaps" not in option(argv(Machine(), FORKED, PORTS), "-append")[0].split()
    assert not set(argv(Machine(), FORKED, PORTS)) & {"-icount", "-rtc", "-seed"}


def test_no_other_thread_of_qemu_serves_a_guest_under_icount() -> None:
    assert any("ioeventfd=off" in word for word in argv(Machine(accel="icount"), FORKED, ICOUNT))
    assert any("ioeventfd=on" in word for word in argv(Machine(), FORKED, PORTS))


def test_a_job_under_icount_comes_by_fw_cfg_and_its_answer_goes_to_a_file() -> None:
    words = argv(Machine(accel="icount"), FORKED, ICOUNT)
    assert option(words, "-fw_cfg") == ["name=opt/driver/job,file=/proc/self/fd/9"]
    assert "file,id=agent,path=/proc/self/fd/7" in words
    # ttyS0 is the console; a byte on ttyS1 starts the job.
    assert option(words, "-serial") == ["chardev:console", "chardev:start_trigger"]
    assert "socket,id=start_trigger,fd=11" in words
    assert option(words, "-action") == ["watchdog=pause"]


def test_a_template_in_the_making_is_the_same_machine_as_its_forks() -> None:
    """But that its memory is shared with the template's files, and nobody has saved a state."""
    machine = Machine(accel="icount")
    fork = argv(machine, FORKED, ICOUNT, incoming=True)
    made = argv(machine, replace(FORKED, shared=True), ICOUNT, paused=True)
    assert fork[-3:] == ["-S", "-incoming", "defer"]
    assert [word.replace("share=on", "share=off") for word in made] == fork[:-2]


def test_a_guest_under_icount_can_also_take_jobs_from_its_channel() -> None:
    words = argv(Machine(accel="icount"), FORKED, replace(ICOUNT, output=None, agent=7))
    assert "socket,id=agent,fd=7" in words
    assert "-S" not in words


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


@pytest.mark.parametrize("accel", ["tcg", "icount", "kvm"])
def test_a_standalone_command_names_no_descriptor_and_shares_no_file(accel: Accel) -> None:
    made = replace(FORKED, shared=True)
    line = standalone_command(Machine(accel=accel), made)
    # Sockets and files by name, in a directory of its own.
    assert not re.search(r"\bfd=|/proc/self/fd|\bNone\b|/r/console.log", line)
    assert "share=on" not in line
    assert "/t/ram" not in line
    assert "mem-path=/t/nvdimm,share=off" in line
    words = shlex.split(line.rpartition("exec ")[2].removesuffix(")"))
    assert not {"-S", "-incoming"} & set(words)
    ours = argv(Machine(accel=accel), FORKED, ICOUNT if accel == "icount" else PORTS)
    for name in ("-machine", "-cpu", "-accel", "-icount", "-device", "-append", "-m"):
        assert option(words, name) == option(ours, name)


def test_a_standalone_command_survives_any_path() -> None:
    odd = Path("/a b/it's,here")
    line = standalone_command(Machine(), replace(FILES, kernel=odd / "vmlinux", nvdimm=odd / "nv"))
    words = shlex.split(line.rpartition("exec ")[2].removesuffix(")"))
    assert option(words, "-kernel") == ["/a b/it's,here/vmlinux"]
    assert any("mem-path=/a b/it's,,here/nv,share=off" in word for word in words)


def test_no_nvdimm() -> None:
    words = argv(Machine(nvdimm_mib=0), FILES, PORTS)
    assert option(words, "-m") == ["1024M"]
    assert not any("nvdimm0" in word for word in words)


def test_what_a_person_adds_comes_last() -> None:
    added = ("-device", "edu", "-name", "a,b")
    words = argv(Machine(qemu_args=added), FILES, PORTS, incoming=True)
    assert tuple(words[-len(added) :]) == added
    assert words[: -len(added)] == argv(Machine(), FILES, PORTS, incoming=True)


@pytest.mark.parametrize(
    "words", [("-accel", "kvm"), ("--icount", "1"), ("-enable-kvm",), ("-machine", "accel=kvm")]
)
@pytest.mark.parametrize("accel", ["tcg", "kvm"])
def test_nobody_adds_another_accelerator(accel: Accel, words: tuple[str, ...]) -> None:
    """The results name the one they were measured under."""
    with pytest.raises(UserError, match="overrule the accelerator"):
        Machine(accel=accel, qemu_args=words)


@pytest.mark.parametrize(
    "words", [("-netdev", "user,id=n"), ("-device", "virtio-rng-pci"), ("-rtc", "base=localtime")]
)
def test_a_guest_under_icount_is_only_observed(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=f"cannot have QEMU's {words[0]}"):
        Machine(accel="icount", qemu_args=words)
    assert Machine(qemu_args=words).qemu_args == words


def test_observing_is_possible_under_icount() -> None:
    words = ("-plugin", "/x/libinsn.so,inline=on", "-d", "plugin", "-D", "log")
    assert Machine(accel="icount", qemu_args=words).qemu_args == words


@pytest.mark.parametrize("word", ["", "a\0b"])
def test_a_word_must_be_one(word: str) -> None:
    with pytest.raises(UserError, match="cannot be a word of a command line"):
        Machine(qemu_args=(word,))


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
        ({"icount_shift": 11}, "icount shift of 11"),
    ],
)
def test_impossible_machines_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        Machine(**change)  # type: ignore[arg-type]


@pytest.mark.parametrize("word", ["-append", "-kernel", "-daemonize", "-S", "-readconfig", "--smp"])
def test_words_that_replace_what_the_manifest_names_are_refused(word: str) -> None:
    with pytest.raises(UserError, match="would overrule what the driver decides"):
        Machine(qemu_args=(word, "x"))


def test_a_word_alone_is_a_disk_and_no_guest_under_icount_has_one() -> None:
    with pytest.raises(UserError, match="the disk image '/tmp/disk'"):
        Machine(accel="icount", qemu_args=("/tmp/disk",))
    assert Machine(accel="icount", qemu_args=("-d", "int")).qemu_args == ("-d", "int")


@pytest.mark.parametrize("words", ["mitigations=off", ("a", " "), ("a\0b",)])
def test_words_are_a_list_and_none_is_blank(words: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="kernel_args"):
        Machine(kernel_args=words)
