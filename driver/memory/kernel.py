# SPDX-License-Identifier: Apache-2.0
"""A guest's kernel as a program of drgn: its memory and the types of its vmlinux.

drgn wants the note that kernels leave for crash dumps (VMCOREINFO). What it needs of that is known
beforehand of a kernel that does not move, so guests need neither CONFIG_VMCORE_INFO nor a device
for it, and may be looked at whether or not anybody has prepared for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from driver.errors import HostError, UserError
from driver.kernel.symbols import Symbols
from driver.process import run

if TYPE_CHECKING:
    import drgn

    from driver.memory.physical import QemuMemory

# Where x86-64 maps its image (__START_KERNEL_map): what is at this address is at physical 0.
_IMAGE = 0xFFFF_FFFF_8000_0000
# x86-64 calls swapper_pg_dir so.
_ROOT = "init_top_pgt"
_NEEDED = ("init_uts_ns", _ROOT, "__start_notes", "__stop_notes")
# Whether page tables have five levels; without CONFIG_X86_5LEVEL there is no such variable.
_FIVE_LEVELS = "__pgtable_l5_enabled"

# NR_SECTION_ROOTS of include/linux/mmzone.h with four levels, or less.
_SECTION_ROOTS = 2048

Read = Callable[[int, int], bytes]
_DEBUG_INFO = "Build the kernel with debug information: driver build kernel --variant debug-info"


@dataclass(frozen=True)
class KernelImage:
    """A kernel of the store: ``vmlinux`` has debug information, ``release`` is its uname -r."""

    vmlinux: Path
    release: str

    @classmethod
    def in_folder(cls, folder: Path, release: str) -> KernelImage:
        """That of a kernel artifact; :class:`UserError` if it has no debug information."""
        symbols = Symbols.of_kernel(folder)
        if not symbols.has_lines:
            raise UserError(
                f"the kernel {release} was built without debug information, and drgn needs it",
                hint=_DEBUG_INFO,
            )
        return cls(symbols.path, release)

    def vmcoreinfo(self, read: Read) -> str:
        """What drgn needs of VMCOREINFO, for a kernel that runs where it was linked.

        ``read`` returns bytes of the guest's physical memory, from an address, so many.
        """
        addresses = self._addresses()
        switch = addresses.get(_FIVE_LEVELS)
        five = 0 if switch is None else int.from_bytes(read(switch - _IMAGE, 4), "little")
        lines = {
            "OSRELEASE": self.release,
            "PAGESIZE": "4096",
            "SYMBOL(init_uts_ns)": f"{addresses['init_uts_ns']:x}",
            "SYMBOL(swapper_pg_dir)": f"{addresses[_ROOT]:x}",
            "NUMBER(phys_base)": "0",
            "NUMBER(pgtable_l5_enabled)": str(five),
            "KERNELOFFSET": "0",
            # By these drgn finds struct page; it looks for the first section there is, which with
            # RAM at address 0 is in the first root, however many more there are.
            "LENGTH(mem_section)": str(_SECTION_ROOTS),
            "NUMBER(SECTION_SIZE_BITS)": "27",
            "NUMBER(MAX_PHYSMEM_BITS)": "52" if five else "46",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())

    def demand_same(self, read: Read) -> None:
        """Raise :class:`UserError` unless the guest with this physical memory runs it.

        The notes of an ELF file, its build ID among them, are a part of the loaded image.
        """
        addresses = self._addresses()
        start = addresses["__start_notes"]
        size = addresses["__stop_notes"] - start
        try:
            there = read(start - _IMAGE, size)
        except (ValueError, OSError) as error:
            raise UserError(
                f"the guest's kernel is not where {self.vmlinux} says: {error}",
                hint="A kernel that moves itself (CONFIG_RANDOMIZE_BASE) needs the word nokaslr on "
                "its command line.",
            ) from error
        if there != self._notes():
            raise UserError(
                f"the guest does not run the kernel of {self.vmlinux}: its build ID differs",
                hint="Was the kernel built again since? Look at the guest with the kernel that it "
                "was booted with.",
            )

    def _addresses(self) -> dict[str, int]:
        listing = run(["nm", "--defined-only", self.vmlinux]).stdout
        found = {
            name: int(address, 16)
            for address, name in re.findall(r"^([0-9a-f]{16}) \w (\w+)$", listing, re.MULTILINE)
            if name in (*_NEEDED, _FIVE_LEVELS)
        }
        if missing := [name for name in _NEEDED if name not in found]:
            raise UserError(
                f"the kernel {self.vmlinux} has no symbol {missing[0]}",
                hint="An unstripped vmlinux of x86-64 is needed.",
            )
        return found

    def _notes(self) -> bytes:
        sections = run(["readelf", "--sections", "--wide", self.vmlinux]).stdout
        match = re.search(r"\.notes +NOTE +\w+ (\w+) (\w+)", sections)
        if match is None:
            raise UserError(
                f"{self.vmlinux} has no notes, and so no build ID",
                hint="An unstripped vmlinux of x86-64 is needed.",
            )
        with self.vmlinux.open("rb") as file:
            file.seek(int(match[1], 16))
            return file.read(int(match[2], 16))


def demand_drgn() -> None:
    """Raise :class:`UserError` if drgn is not installed."""
    try:
        import drgn  # noqa: F401, PLC0415  (optional)
    except ImportError as error:
        raise UserError(
            "drgn is not installed, which reads a guest's memory",
            hint="pip install 'dax-pagetable-driver[drgn]'",
        ) from error


def open_guest(memory: QemuMemory, kernel: KernelImage) -> drgn.Program:
    """The kernel of a guest that does not run now.

    Raises :class:`UserError` if drgn is missing, or if the guest runs another kernel.
    """
    demand_drgn()
    import drgn  # noqa: PLC0415  (optional)

    kernel.demand_same(memory.read)
    program = drgn.Program(drgn.Platform(drgn.Architecture.X86_64))
    for segment in memory.segments:
        program.add_memory_segment(
            segment.address,
            segment.size,
            lambda address, size, _offset, _physical: memory.read(address, size),
            physical=True,
        )
    program.set_linux_kernel_custom(kernel.vmcoreinfo(memory.read), is_live=True)
    program.load_debug_info([kernel.vmlinux])
    return program


def open_dump(dump: Path, kernel: KernelImage) -> drgn.Program:
    """The kernel of a guest that was dumped.

    Raises :class:`UserError` if drgn is missing, or if the guest ran another kernel, and
    :class:`HostError` if the dump is not whole.
    """
    demand_drgn()
    import drgn  # noqa: PLC0415  (optional)

    # Nothing in a dump without VMCOREINFO says what its processor is.
    platform = drgn.Platform(drgn.Architecture.X86_64)
    try:
        bare = drgn.Program(
            platform, vmcoreinfo=kernel.vmcoreinfo(lambda _address, size: bytes(size))
        )
        bare.set_core_dump(dump)

        def read(address: int, size: int) -> bytes:
            return bytes(bare.read(address, size, physical=True))

        kernel.demand_same(read)
        program = drgn.Program(platform, vmcoreinfo=kernel.vmcoreinfo(read))
        program.set_core_dump(dump)
    except UserError:
        raise
    except Exception as error:  # of libkdumpfile, among others, which has no class of its own
        raise HostError(
            f"the dump {dump} cannot be read: {error}",
            hint="Was the disk full when it was written? Run the trial again with --dump.",
        ) from error
    program.load_debug_info([kernel.vmlinux])
    return program
