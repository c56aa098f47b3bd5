# SPDX-License-Identifier: Apache-2.0
"""Where the processors of a guest are, by QEMU's monitor."""

from __future__ import annotations

import re
from dataclasses import dataclass

# `info registers -a` of QEMU 7.2 to 10: one block for each processor, in this order.
_CPU = re.compile(r"^CPU#(\d+)$", re.MULTILINE)
_VALUE = re.compile(r"\b(R[A-Z0-9]{1,2}) *=([0-9a-f]{16})\b")
_FLAGS = re.compile(r"\bRFL=([0-9a-f]{8})\b")
_HALTED = re.compile(r"\bHLT=([01])\b")
_INTERRUPTS = 1 << 9  # EFLAGS.IF

# Where the kernel's image is mapped (__START_KERNEL_map), and where it lies in memory while that
# mapping is not in use yet: the kernels built here are not moved (no CONFIG_RANDOMIZE_BASE).
KERNEL_MAP = 0xFFFFFFFF80000000
_IMAGE_BYTES = 1 << 30


@dataclass(frozen=True)
class Processor:
    """A processor of a guest at one moment; ``registers`` by name, RIP and RSP among them."""

    number: int
    registers: tuple[tuple[str, int], ...]
    halted: bool
    interrupts: bool

    @property
    def dead(self) -> bool:
        """Halted with interrupts off: nothing but a reset continues it."""
        return self.halted and not self.interrupts

    def register(self, name: str) -> int:
        return dict(self.registers)[name]

    @property
    def instruction(self) -> int:
        """The address of its next instruction in the kernel's image as vmlinux has it."""
        address = self.register("RIP")
        return address + KERNEL_MAP if address < _IMAGE_BYTES else address


def parse(text: str) -> list[Processor]:
    """What ``info registers -a`` prints; processors that cannot be read are left out."""
    _, *blocks = _CPU.split(text.replace("\r", ""))  # the human monitor speaks to a terminal
    found = []
    for number, block in zip(blocks[::2], blocks[1::2], strict=True):
        values = {name: int(value, 16) for name, value in _VALUE.findall(block)}
        flags, halted = _FLAGS.search(block), _HALTED.search(block)
        if {"RIP", "RSP"} <= values.keys() and flags and halted:
            found.append(
                Processor(
                    int(number),
                    tuple(values.items()),
                    halted[1] == "1",
                    bool(int(flags[1], 16) & _INTERRUPTS),
                )
            )
    return found
