# SPDX-License-Identifier: Apache-2.0
"""What an emulated machine consists of, as far as a measurement can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from driver.errors import UserError

# tcg: emulation, several host threads; its wall-clock time means nothing.
# icount: emulation that counts instructions; repeats to the byte.
# kvm: the host's processor; time means something.
Accel = Literal["tcg", "icount", "kvm"]

# A persistent-memory region whose size is no multiple of this cannot hold a namespace: Linux
# aligns regions to 16 MiB (memremap_compat_align() on x86-64, and what `ndctl` asks for).
NVDIMM_GRANULE_MIB = 16

# QEMU cuts the label area off the end of the backend; 128 KiB is the least it allows, and 2 MiB
# keeps the region's end aligned for huge pages.
LABEL_MIB = 2

# Lean kernels boot in less, but an initramfs of several MB is unpacked into memory twice.
_LEAST_MEMORY_MIB = 128

# CONFIG_NR_CPUS of the lean kernel configuration.
_MOST_VCPUS = 8

# QEMU's options (without dashes) that decide what executes the guest, and so what its numbers mean.
_ACCELERATORS = frozenset({"accel", "enable-kvm", "icount"})
# ... that replace what the manifest names, or take QEMU away from the driver that must end it.
_DRIVERS_OWN = frozenset(
    {
        "S", "append", "bios", "chroot", "daemonize", "incoming", "initrd", "kernel", "m",
        "no-shutdown", "pidfile", "preconfig", "readconfig", "runas", "smp",
    }
)  # fmt: skip
# QEMU's options that watch a guest and change nothing in it: all that a guest under icount may be
# given. A device may bring the host's clock, files or packets into it.
_OBSERVERS = frozenset({"D", "d", "dfilter", "msg", "name", "plugin", "trace"})


@dataclass(frozen=True)
class Machine:
    """An emulated machine.

    ``memory_mib`` is its RAM and ``nvdimm_mib`` the persistent memory it sees (a multiple of
    16 MiB, 0 for none), both in MiB. ``kernel_args`` are words added to the kernel command line.
    ``qemu_args`` are words added to QEMU's. ``ssh`` gives it a network card and an SSH server;
    ``la57`` five-level page tables. Under icount one instruction takes 2**``icount_shift`` ns of
    guest time.

    Raises :class:`UserError` for a machine that cannot be built.
    """

    memory_mib: int = 1024
    vcpus: int = 1
    nvdimm_mib: int = 1152
    accel: Accel = "tcg"
    kernel_args: tuple[str, ...] = ()
    ssh: bool = False
    la57: bool = False
    icount_shift: int = 3
    qemu_args: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.memory_mib < _LEAST_MEMORY_MIB:
            raise UserError(
                f"a guest with {self.memory_mib} MiB of memory cannot boot",
                hint=f"Give it at least {_LEAST_MEMORY_MIB} MiB.",
            )
        if not 1 <= self.vcpus <= _MOST_VCPUS:
            raise UserError(
                f"a guest with {self.vcpus} processors is not possible",
                hint=f"The kernel is configured for 1 to {_MOST_VCPUS} (CONFIG_NR_CPUS).",
            )
        if self.nvdimm_mib < 0 or self.nvdimm_mib % NVDIMM_GRANULE_MIB:
            raise UserError(
                f"an NVDIMM of {self.nvdimm_mib} MiB is not possible",
                hint=f"Its size must be a multiple of {NVDIMM_GRANULE_MIB} MiB.",
            )
        if self.deterministic and self.ssh:
            raise UserError(
                "a guest under icount cannot have a network",
                hint="Use --accel tcg for SSH: the host decides when packets arrive, and "
                "the instruction at which they do would differ from run to run.",
            )
        if not 0 <= self.icount_shift <= 10:  # the range of QEMU's -icount shift=
            raise UserError(
                f"an icount shift of {self.icount_shift} is not possible", hint="Choose 0 to 10."
            )
        self._check_words()
        self._check_qemu_args()

    def _check_words(self) -> None:
        for name, words in (("kernel_args", self.kernel_args), ("qemu_args", self.qemu_args)):
            if isinstance(words, str):
                raise UserError(
                    f"{name} is a list of words, not the text {words!r}",
                    hint=f"Write {name}=({words!r},).",
                )
            for word in words:
                if not word.strip() or "\0" in word:
                    raise UserError(
                        f"{name}: {word!r} cannot be a word of a command line",
                        hint="Give words that are not empty and contain no NUL.",
                    )

    def _check_qemu_args(self) -> None:
        takes_value = False
        for word in self.qemu_args:
            option = word.lstrip("-") if word.startswith("-") else ""
            if option in _ACCELERATORS or "accel=" in word:
                raise UserError(
                    f"QEMU's {word} would overrule the accelerator that the results name",
                    hint="Use --accel instead.",
                )
            if option in _DRIVERS_OWN:
                raise UserError(
                    f"QEMU's {word} would overrule what the driver decides and records",
                    hint="Words for the kernel go into --kernel-arg; memory, processors and images "
                    "belong to the experiment or to options of `driver shell`.",
                )
            if self.deterministic and not option and not takes_value:
                raise UserError(
                    f"a guest under icount cannot have the disk image {word!r}",
                    hint="A word without a dash is a disk for QEMU; use --accel tcg.",
                )
            takes_value = bool(option)
            if self.deterministic and option and option not in _OBSERVERS:
                raise UserError(
                    f"a guest under icount cannot have QEMU's -{option}",
                    hint="What it adds may depend on the host, so that trials would not repeat. "
                    f"Only options that observe are accepted: {', '.join(sorted(_OBSERVERS))}. "
                    "Use --accel tcg for others.",
                )

    @property
    def deterministic(self) -> bool:
        """Whether runs on it repeat to the byte and count instructions."""
        return self.accel == "icount"
