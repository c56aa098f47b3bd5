# SPDX-License-Identifier: Apache-2.0
"""Which program a piece of user code belongs to.

A plugin sees addresses, and every static program is at the same ones. But files are mapped by
pages: what lies in one page of memory is one page of one file. So code is looked for in the
programs of the image, page by page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.image import cpio

UNKNOWN = "(unknown)"
# The kernel's own code in user space; it is a part of vmlinux.
_VDSO = "(vdso)"
_PAGE = 4096
_ELF = b"\x7fELF"
# Of fewer bytes than these, any file may have the same at the same place of a page by chance.
_LEAST_BYTES = 12
# So many blocks of a page are tried as the one by which the page is found.
_TRIES = 3


@dataclass(frozen=True)
class UserBlock:
    """Code of user space: its address, the page of host memory it was in, its bytes."""

    address: int
    page: int
    code: bytes


@dataclass(frozen=True)
class Programs:
    """The files that user code may be from, by name; later ones only where no earlier one fits."""

    files: tuple[tuple[str, bytes], ...]
    # Trials of one image execute the same code: where it was found before.
    _found: dict[tuple[str, UserBlock], tuple[int, ...]] = field(
        default_factory=dict, compare=False
    )

    @classmethod
    def of_image(cls, image: ImageArtifact, kernel: KernelArtifact) -> Programs:
        """The programs and libraries of an image, and what its kernel maps into all of them."""
        return _programs(image.initramfs, kernel.vmlinux)

    def owners(self, blocks: Iterable[UserBlock]) -> Mapping[UserBlock, str]:
        """The name of the program of each block."""
        pages: dict[tuple[int, int], list[UserBlock]] = {}
        for block in blocks:
            pages.setdefault((block.page, block.address // _PAGE), []).append(block)
        return {block: name for found in pages.values() for block, name in self._page(found)}

    def _page(self, blocks: Sequence[UserBlock]) -> Iterator[tuple[UserBlock, str]]:
        """All blocks of a page have one owner: the file with a page in which most of them are."""
        if sum(len(block.code) for block in blocks) < _LEAST_BYTES:
            return ((block, UNKNOWN) for block in blocks)
        longest = sorted(blocks, key=lambda block: len(block.code), reverse=True)
        best, most = UNKNOWN, 0
        for name, content in self.files:
            for key in longest[:_TRIES]:
                for start in self._places(name, content, key):
                    score = sum(_is_there(content, start, block) for block in blocks)
                    if score > most:
                        best, most = name, score
                if most == len(blocks):
                    return ((block, best) for block in blocks)
        return ((block, best) for block in blocks)

    def _places(self, name: str, content: bytes, block: UserBlock) -> tuple[int, ...]:
        key = (name, replace(block, page=0, address=block.address % _PAGE))
        if key not in self._found:
            self._found[key] = tuple(_places(content, block))
        return self._found[key]


def _places(content: bytes, block: UserBlock) -> Iterator[int]:
    """Where in a file a page begins that has the block's code at its offset in the page."""
    offset = block.address % _PAGE
    at = content.find(block.code)
    while at >= 0:
        if at % _PAGE == offset:
            yield at - offset
        at = content.find(block.code, at + 1)


def _is_there(content: bytes, start: int, block: UserBlock) -> bool:
    return content.startswith(block.code, start + block.address % _PAGE)


@cache
def _programs(initramfs: Path, vmlinux: Path) -> Programs:
    files = {
        Path(name).name: content
        for name, content in cpio.read(initramfs)
        if content.startswith(_ELF)
    }
    return Programs((*files.items(), (_VDSO, vmlinux.read_bytes())))
