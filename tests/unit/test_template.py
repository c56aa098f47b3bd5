# SPDX-License-Identifier: Apache-2.0
"""What makes a template another one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import GuestSplat
from driver.guest import template, template_recipe
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.template import Templates
from driver.guest.template_recipe import TemplateRecipe
from driver.store import Store, digest_of

NOWHERE = Path("/nowhere")
RECIPE = TemplateRecipe(
    Machine(),
    KernelArtifact("k1", "6.12.117", NOWHERE, NOWHERE, NOWHERE, NOWHERE, {}),
    ImageArtifact("i1", "dax", NOWHERE, {}),
    Job(argv=["provision-dax"]),
)


@pytest.fixture(autouse=True)
def _some_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template_recipe, "qemu_version", lambda: "QEMU emulator version 7.2.22")


@pytest.mark.parametrize(
    "other",
    [
        replace(RECIPE, kernel=replace(RECIPE.kernel, digest="k2")),
        replace(RECIPE, image=replace(RECIPE.image, digest="i2")),
        replace(RECIPE, provision=Job(argv=["provision-dax", "data:1024"])),
        replace(RECIPE, provision=None),
        *(
            replace(RECIPE, machine=machine)
            for machine in (
                Machine(memory_mib=2048),
                Machine(vcpus=2),
                Machine(nvdimm_mib=2304),
                Machine(accel="icount"),
                Machine(accel="icount", icount_shift=0),
                Machine(accel="kvm"),
                Machine(kernel_args=("dax_share_page_tables=1",)),
                Machine(qemu_args=("-device", "edu")),
                Machine(la57=True),
                Machine(ssh=True),
            )
        ),
    ],
)
def test_anything_the_guest_can_see_makes_another_template(other: TemplateRecipe) -> None:
    assert digest_of(other.inputs()) != digest_of(RECIPE.inputs())


def test_another_qemu_makes_another_template(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest_of(RECIPE.inputs())
    monkeypatch.setattr(template_recipe, "qemu_version", lambda: "QEMU emulator version 8.0.0")
    assert digest_of(RECIPE.inputs()) != before


def test_where_files_happen_to_be_does_not() -> None:
    elsewhere = replace(
        RECIPE,
        kernel=replace(RECIPE.kernel, vmlinux=Path("/elsewhere/vmlinux")),
        image=replace(RECIPE.image, initramfs=Path("/elsewhere/initramfs")),
    )
    assert digest_of(elsewhere.inputs()) == digest_of(RECIPE.inputs())


def test_one_that_cannot_be_made_leaves_its_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def panic(_recipe: TemplateRecipe, folder: Path, *_limits: object) -> None:
        log = folder / "console.log"
        log.write_text("Kernel panic - not syncing: Attempted to kill init!")
        raise GuestSplat("the guest's kernel reported panic", kind="panic", log=log)

    monkeypatch.setattr(template, "make", panic)
    store = Store(tmp_path)
    with pytest.raises(GuestSplat) as caught:
        Templates(store).get(RECIPE.machine, RECIPE.kernel, RECIPE.image)
    assert caught.value.log is not None
    assert "Kernel panic" in caught.value.log.read_text()
    assert list((tmp_path / "tmp").iterdir()) == []
