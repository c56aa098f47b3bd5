# SPDX-License-Identifier: Apache-2.0
"""What the plugin ``functions`` writes: runs of instructions, and how often each was executed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate
from pathlib import Path

from driver.errors import UserError
from driver.instruments.instrument import Scene, UnreadableObservation
from driver.instruments.programs import UserBlock
from driver.kernel.symbols import Symbols

# Handlers of faults whose instruction is executed again, or never was: QEMU takes it off its count.
# The other exceptions (breakpoints, ud2) come after an instruction that counts.
_FAULTS = (
    "asm_exc_page_fault",
    "asm_exc_general_protection",
    "asm_exc_stack_segment",
    "asm_exc_segment_not_present",
    "asm_exc_alignment_check",
    "asm_exc_divide_error",
    "asm_exc_invalid_tss",
)
_LAST = "end"


@dataclass
class Block:
    """A run of instructions: the address of each, that after the last, and the code if it is a
    program's.
    """

    addresses: list[int]
    end: int
    user: UserBlock | None


@dataclass
class Output:
    """What the plugin has written."""

    blocks: dict[int, Block] = field(default_factory=dict)
    # phase, window, cpu, block, first, end, times
    counts: list[tuple[int, str, int, int, int, int, int]] = field(default_factory=list)
    # Times a window was entered, by phase and window.
    entered: dict[tuple[int, str], int] = field(default_factory=dict)
    uncertain: dict[int, int] = field(default_factory=dict)


def arguments(scene: Scene) -> Sequence[str]:
    """The arguments of the plugin for a guest."""
    threads = "on" if scene.threads else "off"
    return [f"faults={_fault_handlers(scene.kernel.vmlinux)}", f"threads={threads}"]


@cache
def _fault_handlers(vmlinux: Path) -> str:
    """Addresses of the handlers of faults in a kernel, as the plugin takes them."""
    symbols = Symbols(vmlinux)
    addresses = [symbols.start(name) for name in _FAULTS]
    if None in addresses:
        missing = _FAULTS[addresses.index(None)]
        raise UserError(
            f"the kernel {vmlinux} has no symbol {missing}",
            hint="The instrument needs the symbols of an unstripped vmlinux of x86-64.",
        )
    return ":".join(f"{address:x}" for address in addresses)


def parse(path: Path) -> Output:
    """What the plugin has written to a file; :class:`UnreadableObservation` if it is not whole."""
    output = Output()
    last = ""
    try:
        with path.open(encoding="ascii") as lines:
            for line in lines:
                last = line.strip()
                _take(output, last.split())
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise UnreadableObservation(f"functions: {error}: {last[:80]!r}") from error
    if last != _LAST:
        raise UnreadableObservation("functions: the plugin's output is cut off: is the disk full?")
    return output


def _take(output: Output, words: Sequence[str]) -> None:
    match words:
        case ["count", phase, window, *numbers]:
            cpu, block, first, end, times = map(int, numbers)
            if end > len(output.blocks[block].addresses):
                raise ValueError("a part beyond its block")
            output.counts.append((int(phase), window, cpu, block, first, end, times))
        case ["block", number, address, page, sizes, *code]:
            steps = accumulate((int(size, 16) for size in sizes), initial=int(address, 16))
            *starts, after = steps
            user = UserBlock(starts[0], int(page, 16), bytes.fromhex(code[0])) if code else None
            output.blocks[int(number)] = Block(starts, after, user)
        case ["window", phase, window, times]:
            output.entered[int(phase), window] = int(times)
        case ["uncertain", phase, times]:
            output.uncertain[int(phase)] = int(times)
        case ["end"]:
            pass
        case _:
            raise ValueError("not a line of the plugin")
