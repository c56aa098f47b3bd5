# SPDX-License-Identifier: Apache-2.0
"""QEMU's argument list: a pure function of the machine, its files and its ports.

Everything that decides what a guest sees is in here, each option with its value and the
reason for it, so that the list can be read, golden-tested, and used as the key of a template.
Measured on QEMU 7.2 under TCG on two cores, from the command to a shell with XFS mounted
``-o dax``: the default ``pc`` machine with a compressed kernel 5.5 s, this one about 2 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from driver.artifacts import SystemDisk
from driver.guest import processor
from driver.guest.emulator import PROGRAM
from driver.guest.machine import LABEL_MIB, Machine

# The virtio-serial port the guest agent looks for.
AGENT_PORT = "driver.agent"

# Where a guest under icount finds its job: /sys/firmware/qemu_fw_cfg/by_name/<this>/raw. QEMU asks
# that names given on its command line start with "opt/".
JOB_FILE = "opt/driver/job"

# Size of that file: the most that the agent reads. Fixed, because the guest's kernel learns the
# size when it boots, and the template booted with another job.
JOB_BYTES = 65536

# Guests under icount boot at this moment, on every host and in every year.
_EPOCH = "2020-01-01T00:00:00"

# Room in the physical address space above RAM and NVDIMM. With maxmem QEMU places the hotplug
# area, where NVDIMMs live, and needs up to 1 GiB per slot for alignment.
_ADDRESS_SLACK_MIB = 2048


@dataclass(frozen=True)
class Files:
    """The files a guest is made of.

    ``ram`` and ``nvdimm`` back its memory (None: anonymous memory). With ``shared`` what the
    guest writes goes into these files, which is how a template is made; without, each guest
    has a private copy-on-write view and the files stay as they are. ``system`` is a file system
    that all guests read and none writes.
    """

    kernel: Path
    initramfs: Path
    console_log: Path
    ram: Path | None = None
    nvdimm: Path | None = None
    shared: bool = False
    system: SystemDisk | None = None


# QEMU's end of a channel: a descriptor that it inherits, or the path of a Unix socket on which it
# listens (of a file, for what is a file).
Port = int | Path


@dataclass(frozen=True)
class Ports:
    """QEMU's ends of the channels to the driver.

    The driver passes descriptors: nothing has a name, so nothing is left behind. A command line
    for people has paths. ``monitor`` and ``agent`` are sockets. ``output`` is a file that replaces
    the agent's socket in a deterministic fork. ``job`` is a file with a deterministic guest's job
    and ``start_trigger`` the socket that starts it. ``console`` is a socket for a person at the
    serial console, or the terminal that QEMU is started from. ``gdb`` is the path of a Unix socket
    on which QEMU waits for a debugger.
    """

    monitor: Port
    agent: Port | None = None
    output: Port | None = None
    console: Port | Literal["stdio"] | None = None
    job: Port | None = None
    start_trigger: Port | None = None
    gdb: Path | None = None


def argv(
    machine: Machine,
    files: Files,
    ports: Ports,
    *,
    paused: bool = False,
    incoming: bool = False,
    plugins: Sequence[str] = (),
) -> list[str]:
    """The command line of a guest. With ``paused`` it does nothing before QMP's ``cont``; with
    ``incoming`` it waits for the state of a template, and then for ``cont`` as well. ``plugins``
    watch it; they are no part of the state, and a fork may have them without its template.
    """
    return [
        PROGRAM,
        # The same machine whatever configuration files the host has.
        "-no-user-config",
        "-nodefaults",
        "-display", "none",
        *_board(machine),
        *_accelerator(machine),
        *_memory(machine, files),
        *_kernel(machine, files),
        *_ports(machine, files, ports),
        *_network(machine),
        # A guest that resets (a panic, with panic=-1) has ended: QEMU exits and we notice.
        "-no-reboot",
        *(["-S"] if paused or incoming else []),
        # Wait until QMP's `migrate-incoming` says where the state is.
        *(["-incoming", "defer"] if incoming else []),
        *(["-gdb", f"unix:{escape(ports.gdb)},server=on,wait=off"] if ports.gdb else []),
        *(word for plugin in plugins for word in ("-plugin", plugin)),
        # What a person asked for beyond all this: last, so that it wins where QEMU merges options.
        *machine.qemu_args,
    ]  # fmt: skip


def _board(machine: Machine) -> list[str]:
    options = [
        # Not `pc`: with its legacy devices off, q35 boots a second faster. Not `microvm`: it
        # ignores NVDIMMs in silence and hangs in the calibration of the TSC under TCG.
        "q35",
        "nvdimm=on",
        # Devices without a use here, each of which Linux would probe for.
        "sata=off",
        "i8042=off",
        "vmport=off",
        "smbus=off",
        # A second clock, unused: Linux takes the TSC.
        "hpet=off",
        "memory-backend=ram",
    ]
    return [
        "-machine", ",".join(options),
        "-cpu", processor.options(deterministic=machine.deterministic, la57=machine.la57),
        "-smp", str(machine.vcpus),
        # A firmware of 64 KiB that does what the kernel needs and no more: SeaBIOS costs 0.4 s.
        "-bios", "qboot.rom",
    ]  # fmt: skip


def _accelerator(machine: Machine) -> list[str]:
    if machine.accel == "kvm":
        return ["-accel", "kvm"]
    if not machine.deterministic:
        return ["-accel", "tcg"]
    return [
        "-accel", "tcg",
        # Guest time is a count of instructions. sleep=off: an idle guest does not wait for the
        # host's clock either, it skips to its next timer.
        "-icount", f"shift={machine.icount_shift},sleep=off",
        # The calendar starts at a fixed moment and follows the count.
        "-rtc", f"base={_EPOCH},clock=vm",
        # What RDRAND and RDSEED return.
        "-seed", "1",
    ]  # fmt: skip


def _memory(machine: Machine, files: Files) -> list[str]:
    ram = ["-object", _backend("ram", machine.memory_mib, files.ram, files)]
    sizes, devices = [], []
    if machine.nvdimm_mib:
        # Larger by the label area, so that what remains is a multiple of 16 MiB.
        sizes.append(machine.nvdimm_mib + LABEL_MIB)
        devices += [
            "-object", _backend("pmem", sizes[-1], files.nvdimm, files),
            # Labels, or ndctl cannot make a namespace in fsdax mode.
            "-device", f"nvdimm,id=nvdimm0,memdev=pmem,label-size={LABEL_MIB}M",
        ]  # fmt: skip
    if files.system is not None:
        sizes.append(files.system.mib)
        devices += [
            # Not a disk, which another thread of QEMU serves: what the guest reads of an NVDIMM it
            # copies itself, so that it repeats. Shared by all guests, and no part of their state.
            "-object", f"{_file_backend('system', files.system.mib, files.system.path)},"
            "share=on,readonly=on",
            # What QEMU calls a module that cannot store.
            "-device", "nvdimm,id=nvdimm1,memdev=system,unarmed=on",
        ]  # fmt: skip
    if not sizes:
        return ["-m", f"{machine.memory_mib}M", *ram]
    most = machine.memory_mib + sum(sizes) + len(sizes) * _ADDRESS_SLACK_MIB
    # An NVDIMM occupies a hotplug slot and lives above RAM.
    memory = f"{machine.memory_mib}M,slots={len(sizes)},maxmem={most}M"
    return ["-m", memory, *ram, *devices]


def _backend(name: str, mib: int, path: Path | None, files: Files) -> str:
    if path is None:
        return f"memory-backend-ram,id={name},size={mib}M"
    return f"{_file_backend(name, mib, path)},share={_on(files.shared)}"


def _file_backend(name: str, mib: int, path: Path) -> str:
    return f"memory-backend-file,id={name},size={mib}M,mem-path={escape(path)}"


def _kernel(machine: Machine, files: Files) -> list[str]:
    words = [
        "console=ttyS0",
        # A panic resets at once, and a reset ends QEMU.
        "panic=-1",
        # No 256 legacy pseudo-terminals.
        "pty.legacy_count=0",
        # Calibrations that are slow under emulation and unnecessary in a virtual machine.
        "no_timer_check",
        "tsc=reliable",
        *(["driver.ssh"] if machine.ssh else []),
        # The number is that of the region, which NVDIMMs have in their order.
        *([f"driver.system=/dev/pmem{int(machine.nvdimm_mib > 0)}"] if files.system else []),
        # A stack or a mapping that crosses 2 MiB needs one page table more, and fork some 800
        # instructions. Where they are follows from when each interrupt of the boot came, and that
        # differs with the tables that each QEMU describes its board with.
        *(["norandmaps"] if machine.deterministic else []),
        *machine.kernel_args,
    ]
    return [
        # As a rule the uncompressed kernel, entered through its PVH note: nothing to unpack.
        "-kernel", str(files.kernel),
        "-initrd", str(files.initramfs),
        "-append", " ".join(words),
    ]  # fmt: skip


def _ports(machine: Machine, files: Files, ports: Ports) -> list[str]:
    # A full socket would make a deterministic fork wait for the host; a file never does.
    if ports.output is not None:
        agent = f"file,id=agent,path={_file(ports.output)}"
    else:
        assert ports.agent is not None
        agent = _socket("agent", ports.agent)
    # ioeventfd hands the guest's notifications to another thread of QEMU, which takes them up when
    # the host lets it: under icount they are handled by the instruction that makes them.
    arguments = [
        "-chardev", _socket("monitor", ports.monitor),
        "-mon", "chardev=monitor,mode=control",
        *_console(files, ports),
        # The agent's own channel, so that results never mix with the log.
        "-chardev", agent,
        "-device", f"virtio-serial-pci,max_ports=2,ioeventfd={_on(not machine.deterministic)}",
        "-device", f"virtserialport,chardev=agent,name={AGENT_PORT}",
    ]  # fmt: skip
    if ports.start_trigger is not None and ports.job is not None:
        arguments += [
            # Bytes that come through virtio while the guest runs reach it at an instruction that
            # the host's scheduler chooses, and QEMU delivers none while it is stopped. So a
            # deterministic guest reads its job from fw_cfg, where the processor fetches it itself,
            # when a byte on ttyS1 says so: the FIFO of a 16550 takes it before the guest resumes.
            "-fw_cfg", f"name={JOB_FILE},file={_file(ports.job)}",
            "-chardev", _socket("start_trigger", ports.start_trigger),
            "-serial", "chardev:start_trigger",
            # And one that becomes a template has itself stopped at a moment of guest time, by a
            # watchdog that is not fed (see freeze.c of the agent).
            "-device", "i6300esb",
            "-action", "watchdog=pause",
        ]  # fmt: skip
    return arguments


def _console(files: Files, ports: Ports) -> list[str]:
    """ttyS0: the kernel's log and nothing else. QEMU writes the log to a file itself, so that it is
    complete even if no one reads the console.
    """
    log = f"logfile={escape(files.console_log)}"
    if ports.console is None:
        chardev = f"file,id=console,path={escape(files.console_log)}"
    elif ports.console == "stdio":
        # Ctrl-C belongs to the guest. Ctrl-A X ends QEMU, Ctrl-A C is its monitor.
        chardev = f"stdio,id=console,mux=on,signal=off,{log}"
    else:
        chardev = f"{_socket('console', ports.console)},{log}"
    human = ["-mon", "chardev=console,mode=readline"] if ports.console == "stdio" else []
    return ["-chardev", chardev, *human, "-serial", "chardev:console"]


def _socket(name: str, port: Port) -> str:
    """A ``-chardev`` that is a socket; QEMU does not wait for a client of one by path."""
    if isinstance(port, int):
        return f"socket,id={name},fd={port}"
    return f"socket,id={name},path={escape(port)},server=on,wait=off"


def _file(port: Port) -> str:
    return f"/proc/self/fd/{port}" if isinstance(port, int) else escape(port)


def _network(machine: Machine) -> list[str]:
    if not machine.ssh:
        return []
    return [
        # User-mode networking needs no privilege. Port 0: the host's kernel picks a free one, so
        # that guests never collide; the monitor tells which. Reachable from this host only.
        "-netdev", "user,id=net,ipv6=off,hostfwd=tcp:127.0.0.1:0-:22",
        # Without a boot ROM: nothing is booted from the network.
        "-device", "virtio-net-pci,netdev=net,romfile=",
    ]  # fmt: skip


def _on(flag: bool) -> str:
    return "on" if flag else "off"


def escape(path: Path) -> str:
    """A path inside an option list: QEMU reads a doubled comma as one that does not separate."""
    return str(path).replace(",", ",,")
