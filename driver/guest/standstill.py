# SPDX-License-Identifier: Apache-2.0
"""Noticing within seconds that a booting kernel is dead, and saying where it died.

A kernel that dies before it has a console prints nothing, and a deadline is many times what a boot
takes. So when nothing has been printed for a while, QEMU is asked where the processors are. A guest
stands still if every one of them is halted with interrupts off, or executes the same instruction
with the same registers each time, or sits in one function while its stack shows ``panic()``.
Time in which QEMU was denied a processor of the host does not count.

A processor that only waits (halted, with interrupts on) may be woken at any time: that is what the
deadline is for.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from driver.deadline import Deadline
from driver.errors import DriverError, GuestSplat
from driver.guest.console_log import ConsoleLog
from driver.guest.printk_buffer import DESCRIPTOR_BYTES, messages
from driver.guest.qemu_process import QemuProcess
from driver.guest.qmp import Monitor
from driver.guest.registers import KERNEL_MAP, Processor, parse
from driver.guest.splat_classifier import classify
from driver.guest.splat_patterns import STANDSTILL
from driver.kernel.symbols import Symbols

# Seconds without a byte on the console after which QEMU is asked; a healthy boot under TCG prints
# every 0.2 s on an idle host. Being asked may move an interrupt of a guest under icount, which a
# slow host must not do to a healthy one.
_SILENCE, _SILENCE_ICOUNT = 2.0, 8.0
# So many times, so far apart in seconds, a guest has to be found in the same place.
_LOOKS, _PAUSE = 5, 0.3
# Functions that a kernel does not leave, and whose callers say why.
_DEATH = frozenset(
    {"panic", "vpanic", "nmi_panic", "early_fixup_exception", "halt_loop", "machine_halt",
     "stop_this_cpu", "do_exit", "make_task_dead"}
)  # fmt: skip
_STACK_WORDS = 256
_MOST_FRAMES = 16
_MOST_LINES = 40
_WORDS = re.compile(r"0x([0-9a-f]{16})\b")

SEE_MORE = (
    "--kernel-arg=earlyprintk=ttyS0 prints the kernel's log from its first moments on; "
    "`driver shell --gdb` lets a debugger watch the boot."
)


@dataclass
class BootWatch:
    """Watches one booting guest; :meth:`look` is called several times a second.

    ``vmlinux`` is the kernel's ELF file. ``patient`` waits longer before QEMU is asked.
    """

    qemu: QemuProcess
    monitor: Monitor
    console: ConsoleLog
    vmlinux: Path
    patient: bool = False
    _bytes: int = -1
    _since: float = 0.0
    _next: float = 0.0
    _seen: list[tuple[Processor, ...]] = field(default_factory=list)

    def look(self) -> None:
        """Raise :class:`GuestSplat` once the guest stands still."""
        now = time.monotonic() - self.qemu.starved_seconds()
        printed = self.console.bytes_read
        if printed != self._bytes:
            self._bytes, self._since, self._next = printed, now, 0.0
            self._seen.clear()
        silence = _SILENCE_ICOUNT if self.patient else _SILENCE
        if now < max(self._since + silence, self._next):
            return
        self._next = now + _PAUSE
        self._seen = [*self._seen[1 - _LOOKS :], self._processors()]
        if len(self._seen) == _LOOKS and self._stands():
            raise self._standstill()

    def whereabouts(self) -> str:
        """A clause about where each processor is now, for a deadline that has passed."""
        with contextlib.suppress(DriverError):
            if found := self._processors():
                return "; ".join(self._describe(one) for one in found)
        return ""

    @cached_property
    def _symbols(self) -> Symbols:
        return Symbols.of_kernel(self.vmlinux.parent)

    def _processors(self) -> tuple[Processor, ...]:
        deadline = Deadline.after(10, "asking QEMU for its processors")
        return tuple(parse(self.monitor.human("info registers -a", deadline=deadline)))

    def _stands(self) -> bool:
        """Whether no processor was seen to do anything."""
        if not all(self._seen):
            return False
        looks = list(zip(*self._seen, strict=False))
        if all(_asleep(one) for one in self._seen[-1]):
            return False
        return all(self._rests(processor) for processor in looks)

    def _rests(self, looks: Sequence[Processor]) -> bool:
        last = looks[-1]
        if all(one.dead for one in looks) or len({one.registers for one in looks}) == 1:
            return True
        if _asleep(last):  # one of several that waits for the others
            return True
        same_stack = len({one.register("RSP") for one in looks}) == 1
        return same_stack and any(_name(frame) in _DEATH for frame in self._frames(last))

    def _frames(self, processor: Processor) -> list[str]:
        """What may be return addresses on its stack, as a trace has them; innermost first."""
        deadline = Deadline.after(10, "reading a stack of the guest")
        line = f"x/{_STACK_WORDS}gx {processor.register('RSP'):#x}"
        text = self.monitor.human(line, deadline=deadline)
        words = (int(word, 16) for word in _WORDS.findall(text))
        frames = (self._symbols.function(word) for word in words if word > KERNEL_MAP)
        # A function's own address on the stack is a pointer, not a return address; what lies behind
        # the text is data.
        found = (frame for frame in frames if frame and "+0x0/" not in frame)
        return [frame for frame in found if _name(frame) != "_etext"][:_MOST_FRAMES]

    def _describe(self, processor: Processor) -> str:
        at = self._symbols.function(processor.instruction) or f"{processor.register('RIP'):#x}"
        places = self._symbols.places([processor.instruction]).get(processor.instruction, [])
        line = f" ({places[0]})" if places else ""
        doing = (
            "halted with interrupts off" if processor.dead
            else "waiting for an interrupt" if processor.halted
            else "executing"
        )  # fmt: skip
        return f"processor {processor.number} is {doing} in {at}{line}"

    def _standstill(self) -> GuestSplat:
        """The error, with the kernel's log and the stacks as evidence."""
        processors = self._seen[-1]
        logged = [] if self._bytes > 0 else self._log_buffer()
        stamped = "".join(f"{line}\n" for line in logged)
        if logged:  # nothing else would keep it: the console is empty, and stays so
            with self.console.path.open("a", encoding="utf-8") as log:
                log.write(
                    "(read from the log buffer in the memory of the guest, which had no console)\n"
                )
                log.write(stamped)
        evidence = logged[-_MOST_LINES:] or self.console.tail().splitlines()
        for one in processors:
            evidence.append(f"CPU {one.number}: RIP: {self._where(one)}")
            evidence += [f" ? {frame}" for frame in self._frames(one)]
        evidence.append(f"({SEE_MORE})")
        where = "; ".join(self._describe(one) for one in processors)
        when = "and nothing has been printed" if self._bytes <= 0 else "after its last message"
        splats = classify(stamped)
        said = f"{splats[0].kind}: {splats[0].message}" if splats else "no complaint"
        return GuestSplat(
            f"the guest's kernel stands still, {when} ({said}): {where}",
            kind=splats[0].kind if splats else STANDSTILL,
            excerpt="\n".join(evidence),
            log=self.console.path,
            hint=SEE_MORE,
        )

    def _where(self, processor: Processor) -> str:
        return self._symbols.function(processor.instruction) or f"{processor.register('RIP'):#x}"

    def _log_buffer(self) -> list[str]:
        """The kernel's log so far, as a console would show it; nothing if it cannot be read."""
        descriptors = self._symbols.data("_printk_rb_static_descs")
        with contextlib.suppress(DriverError, OSError):
            texts = self._memory("__log_buf")
            infos = self._memory("_printk_rb_static_infos")
            count = descriptors[1] // DESCRIPTOR_BYTES if descriptors else 0
            return [str(message) for message in messages(texts, infos, count)]
        return []

    def _memory(self, variable: str) -> bytes:
        """What a variable of the kernel's image holds; nothing if there is no such one."""
        found = self._symbols.data(variable)
        if found is None or found[0] < KERNEL_MAP:
            return b""
        address, size = found
        deadline = Deadline.after(10, "reading the log of the guest's kernel")
        with tempfile.TemporaryDirectory(prefix="driver-") as folder:
            path = Path(folder) / "memory"
            area = {"val": address - KERNEL_MAP, "size": size, "filename": str(path)}
            self.monitor.execute("pmemsave", area, deadline=deadline)
            return path.read_bytes()


def _asleep(processor: Processor) -> bool:
    return processor.halted and processor.interrupts


def _name(frame: str) -> str:
    return frame.partition("+")[0].partition(".")[0]
