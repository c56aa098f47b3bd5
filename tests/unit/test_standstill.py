# SPDX-License-Identifier: Apache-2.0
"""A booting kernel that is dead is found out within seconds; one that works or waits is not."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest

from driver.errors import GuestSplat
from driver.guest import standstill
from driver.guest.console_log import ConsoleLog
from driver.guest.printk_buffer import messages
from driver.guest.registers import KERNEL_MAP, parse
from driver.guest.standstill import BootWatch

# As QEMU 7.2 prints it; the human monitor ends lines with CR LF.
REGISTERS = """\
CPU#{number}
RAX={rax:016x} RBX=ffffffff81a03e88 RCX=3fffffffffffefff RDX=0000000000000000
RSI=ffffffff81a03bb0 RDI=0000000000000001 RBP=00000000000000b0 RSP=ffffffff81a03e68
R8 =3fffffffffffefff R9 =0000000000004ffb R10=3fffffffffffefff R11=ffffffff81a3dd80
R12=0000000000000000 R13=0000000000000000 R14=0000000000000000 R15=0000000001f384c0
RIP={rip:016x} RFL={flags:08x} [--S----] CPL=0 II=0 A20=1 SMM=0 HLT={halted}
ES =0000 0000000000000000 00000000 00000000
CR0=80050033 CR2=ffff8880000cff20 CR3=0000000001f4a000 CR4=000000b0
"""
IF = 0x200
START, PANIC, IDLE = (KERNEL_MAP + 0x1000000 + at for at in (0x100, 0x200, 0x300))


STEPS = itertools.count()
RECORDS = 16
PANICKED = "Kernel panic - not syncing: no"


def ring(records: list[tuple[float, str]], first: int = 3) -> tuple[bytes, bytes]:
    """The kernel's log as it lies in memory: texts, and the table of what is known of them."""
    infos = bytearray(RECORDS * 88)
    texts = b""
    for number, (seconds, text) in enumerate(records):
        identifier = (first + number) % (1 << 64)
        # printk() leaves the end of a text behind when it cuts the level off its beginning.
        raw = text.encode() + b"c"
        texts += struct.pack("<Q", identifier) + raw.ljust(-(-len(raw) // 8) * 8, b"\0")
        where = identifier % RECORDS * 88
        struct.pack_into("<QQH", infos, where, number, round(seconds * 1e9), len(text))
    return texts.ljust(4096, b"\0"), bytes(infos)


def registers(*, rip: int = START, flags: int = 0x82, halted: int = 0, rax: int = 8) -> str:
    text = REGISTERS.format(number=0, rip=rip, flags=flags, halted=halted, rax=rax)
    return text.replace("\n", "\r\n")


class Symbols:
    """A kernel of three functions."""

    names: ClassVar = {START: "start_kernel", PANIC: "panic", IDLE: "default_idle"}

    def function(self, address: int) -> str | None:
        start = address & ~0xFF
        return f"{self.names[start]}+{address - start:#x}/0x100" if start in self.names else None

    def places(self, _addresses: list[int]) -> dict[int, list[object]]:
        return {}

    def data(self, name: str) -> tuple[int, int] | None:
        sizes = {
            "__log_buf": (0x2000, 4096),
            "_printk_rb_static_infos": (0x3000, RECORDS * 88),
            "_printk_rb_static_descs": (0x4000, RECORDS * 24),
        }
        return (KERNEL_MAP + sizes[name][0], sizes[name][1])


class Qemu:
    """A QEMU whose monitor says what the test wants, and that was never denied a processor."""

    def __init__(self) -> None:
        self.says: Callable[[], str] = registers
        self.stack = ""
        self.log = self.infos = b""
        self.asked = 0
        self.starved = 0.0

    def starved_seconds(self) -> float:
        return self.starved

    def human(self, line: str, **_how: object) -> str:
        if line.startswith("x/"):
            return self.stack
        self.asked += 1
        return self.says()

    def execute(self, command: str, arguments: dict[str, object], **_how: object) -> None:
        assert command == "pmemsave"
        content = {0x2000: self.log, 0x3000: self.infos}[arguments["val"]]  # type: ignore[index]
        Path(str(arguments["filename"])).write_bytes(content)


@pytest.fixture
def qemu() -> Qemu:
    return Qemu()


class Clock:
    """Time that passes when the test says so."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(standstill, "time", made)
    return made


@pytest.fixture
def watch(qemu: Qemu, tmp_path: Path) -> BootWatch:
    log = tmp_path / "console.log"
    log.touch()
    made = BootWatch(qemu, qemu, ConsoleLog(log), tmp_path / "vmlinux")  # type: ignore[arg-type]
    made.__dict__["_symbols"] = Symbols()
    return made


def wait(watch: BootWatch, clock: Clock, seconds: float) -> None:
    for _ in range(round(seconds * 10)):
        clock.now += 0.1
        watch.console.poll()
        watch.look()


def test_a_processor_that_is_halted_for_ever(watch: BootWatch, qemu: Qemu, clock: Clock) -> None:
    qemu.says = lambda: registers(halted=1)
    with pytest.raises(GuestSplat, match="halted with interrupts off in start_kernel") as caught:
        wait(watch, clock, 60)
    assert clock.now < 105, "within seconds"
    assert caught.value.kind == "standstill"
    assert "earlyprintk" in (caught.value.hint or "")


def test_an_instruction_that_jumps_to_itself(watch: BootWatch, clock: Clock) -> None:
    with pytest.raises(GuestSplat, match="executing in start_kernel"):
        wait(watch, clock, 5)


def test_a_panic_in_a_delay_loop(watch: BootWatch, qemu: Qemu, clock: Clock) -> None:
    moving = iter(range(10**6))
    qemu.says = lambda: registers(rax=next(moving))
    qemu.stack = f"ffffffff81a03e68: 0x{PANIC + 0x4B:016x} 0x0000000000000000\r\n"
    qemu.log, qemu.infos = ring(
        [(0.0, "Linux version 6.12"), (0.5, "Kernel panic - not syncing: no")]
    )
    with pytest.raises(GuestSplat, match=f"panic: {PANICKED}") as caught:
        wait(watch, clock, 5)
    assert caught.value.kind == "panic"
    assert "? panic+0x4b/0x100" in (caught.value.excerpt or "")
    assert "] Linux version 6.12\n" in watch.console.path.read_text(), (
        "the console of the run has it"
    )


@pytest.mark.parametrize(
    "says",
    [
        lambda: registers(halted=1, flags=IF, rip=IDLE),
        lambda: registers(rax=next(STEPS)),
        lambda: "no such thing\r\n",
    ],
    ids=["waits for an interrupt", "works", "cannot be asked"],
)
def test_what_is_not_dead(
    watch: BootWatch, qemu: Qemu, clock: Clock, says: Callable[[], str]
) -> None:
    qemu.says = says
    wait(watch, clock, 60)
    assert qemu.asked > 10


def test_a_guest_that_prints_is_never_asked(watch: BootWatch, qemu: Qemu, clock: Clock) -> None:
    for number in range(60):
        with watch.console.path.open("a") as log:
            log.write(f"[    0.{number:06d}] still here\n")
        wait(watch, clock, 1)
    assert qemu.asked == 0


def test_time_without_a_processor_does_not_count(
    watch: BootWatch, qemu: Qemu, clock: Clock
) -> None:
    for _ in range(600):
        clock.now += 0.1
        qemu.starved += 0.1
        watch.look()
    assert qemu.asked == 0


def test_one_that_moves_in_between_lives(watch: BootWatch, qemu: Qemu, clock: Clock) -> None:
    turns = iter(range(10**6))
    qemu.says = lambda: registers(rax=next(turns) // 4)  # the same four times, and then another
    wait(watch, clock, 30)


def test_registers_of_several_processors() -> None:
    first, second = (REGISTERS.format(number=n, rip=START, flags=f, halted=h, rax=0)
                     for n, f, h in ((0, IF, 1), (1, 0x82, 1)))  # fmt: skip
    found = parse("\r\n" + (first + second).replace("\n", "\r\n"))
    assert [(one.number, one.dead) for one in found] == [(0, False), (1, True)]
    early = parse(REGISTERS.format(number=0, rip=0x1000100, flags=0, halted=0, rax=0))
    assert early[0].instruction == START, "before the kernel's own mapping is in use"
    assert parse("unknown command") == []


@pytest.mark.parametrize("noise", [b"", b"\0" * 64, b"\xff" * 64, bytes(range(64)), b"\0" * 7])
def test_what_is_no_log_buffer_has_no_messages(noise: bytes) -> None:
    for infos in (b"", b"\0" * 88 * RECORDS, noise):
        assert messages(noise, infos, RECORDS) == []
        assert messages(noise, infos, 0) == []


def test_records_have_their_own_ends_and_identifiers_overflow() -> None:
    records = [(0.0, "12345678"), (1.25, "second"), (2.5, "Linux")]
    texts, infos = ring(records, first=(1 << 64) - 2)
    assert [(one.seconds, one.text) for one in messages(texts, infos, RECORDS)] == records
    assert str(messages(texts, infos, RECORDS)[1]) == "[    1.250000] second"
