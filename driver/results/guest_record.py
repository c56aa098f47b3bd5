# SPDX-License-Identifier: Apache-2.0
"""What a manifest says about one kind of guest: its kernel, its image, its machine, its emulator.

``None`` stands for what is not known, as of runs that an earlier version of the driver made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A part of a manifest: unknown keys are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DebianOrigin(Record):
    """A source package of Debian, ``version`` being that of the package.

    ``suites`` are those that carried it; None in runs made before more than one was looked at.
    """

    kind: Literal["debian"]
    package: str
    version: str
    suites: list[str] | None = None


class TarballOrigin(Record):
    """A tarball, with the SHA-256 (hex) it was checked against."""

    kind: Literal["tarball"]
    url: str
    sha256: str


class DirectoryOrigin(Record):
    """A tree of the user's; without a commit it is no git work tree."""

    kind: Literal["directory"]
    path: str
    commit: str | None = None
    uncommitted: bool | None = None


class CheckoutOrigin(Record):
    """A work tree that `driver patch checkout` made of ``series`` on ``base``."""

    kind: Literal["checkout"]
    path: str
    series: str
    base: KernelOrigin
    commit: str
    uncommitted: bool


KernelOrigin = Annotated[
    DebianOrigin | TarballOrigin | DirectoryOrigin | CheckoutOrigin, Field(discriminator="kind")
]


class SourceRecord(Record):
    """A kernel source: ``identity`` names its content, ``version`` is what its Makefile says."""

    identity: str
    version: str
    origin: KernelOrigin


class PatchRecord(Record):
    """A patch that was applied, with the SHA-256 (hex) of its file."""

    name: str
    sha256: str


class SeriesRecord(Record):
    """The patches that were applied, in their order; none for an unpatched kernel.

    ``base`` is the version of Linux they are for; None in runs made before it could be chosen.
    """

    name: str
    base: str | None = None
    patches: list[PatchRecord]


class KernelProvenance(Record):
    """What a kernel was built from, and how.

    ``fragments`` are SHA-256 (hex) of Kconfig fragments by file name, ``compiler`` the first lines
    of what gcc and ld say of their versions. ``commit`` is that of the tree in the driver's own
    repository, ``seconds`` how long compiling ``objects`` objects took; a build that was not full
    began with the objects of another one, ``seeded_from``.
    """

    source: SourceRecord
    series: SeriesRecord
    variant: str | None
    fragments: dict[str, str]
    compiler: dict[str, str]
    recipe: int
    release: str
    commit: str
    objects: int
    seconds: float
    full_build: bool
    seeded_from: str | None
    debug_info: bool | None


class KernelRecord(Record):
    """A kernel; ``release`` is what ``uname -r`` prints, ``digest`` names all that went in.

    ``base`` is its version of Linux ("6.12"); None in runs made before it could be chosen.
    """

    series: str
    variant: str | None
    base: str | None = None
    digest: str
    release: str | None
    provenance: KernelProvenance | None


class RecipeRecord(Record):
    """``recipe.toml`` of an image, as it was read."""

    description: str
    suite: str
    packages: dict[str, list[str]]
    programs: list[str]
    links: dict[str, list[str]]


class SystemRecord(Record):
    """The Debian system of an image.

    ``packages`` are those that the recipe names, ``versions`` those of all that came in;
    ``overlay`` is the digest of what was copied over it, ``digest`` that of all that went in.
    """

    packages: list[str]
    versions: dict[str, str]
    overlay: str
    digest: str


class ImageProvenance(Record):
    """What an image was built from.

    ``packages`` are versions of Debian packages by name; ``files`` and ``overlay`` digests of what
    was taken from them and from the image's folder; ``programs`` the names of those compiled;
    ``bytes`` the size of the archive. ``folders`` are digests of what an experiment had copied into
    it, by path in the guest. ``system`` is None for an image that is an initramfs alone.
    """

    name: str
    format: int
    recipe: RecipeRecord
    packages: dict[str, str]
    files: str
    overlay: str
    programs: list[str]
    bytes: int
    folders: dict[str, str] = {}
    system: SystemRecord | None = None


class ImageRecord(Record):
    """A guest image; ``digest`` names all that went in."""

    name: str
    digest: str
    provenance: ImageProvenance | None


class MachineRecord(Record):
    """The emulated machine, field by field a :class:`driver.guest.machine.Machine`."""

    memory_mib: int
    vcpus: int
    nvdimm_mib: int
    accel: Literal["tcg", "icount", "kvm"]
    kernel_args: list[str]
    ssh: bool
    la57: bool
    icount_shift: int
    qemu_args: list[str] = []


class QemuRecord(Record):
    """QEMU and the saved guest that trials are forked from.

    ``version`` is the first line of what QEMU says of itself. ``argv`` names files by their role
    (``KERNEL``, ``RAM``), so that it reads the same on every host; ``command`` is a line that runs
    by itself where the run was made. ``template_digests`` are those
    of what the template ``template`` holds, where that is the same whenever and wherever it is
    made: under icount. There ``processor`` are the features that the guest's kernel found, by its
    names; None in runs made before they were recorded.
    """

    version: str
    argv: list[str]
    command: str | None = None
    template: str | None
    template_digests: dict[str, str] | None
    processor: list[str] | None = None


class InstrumentRecord(Record):
    """An instrument that watched guests; ``digest`` names the sources of its plugin."""

    name: str
    digest: str


class GuestRecord(Record):
    """One kind of guest that a plan used; ``provision`` is the command that prepared it."""

    kernel: KernelRecord
    image: ImageRecord
    machine: MachineRecord
    provision: list[str] | None
    qemu: QemuRecord
    instruments: list[InstrumentRecord] = []
