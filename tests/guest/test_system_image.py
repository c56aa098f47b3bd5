# SPDX-License-Identifier: Apache-2.0
"""A whole Debian system in a guest: installed as packages mean it, writable, and forked exactly."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.job import Job
from driver.guest.machine import Accel, Machine
from driver.guest.template import Template, Templates
from driver.image import build_image
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

ROOT = Path(__file__).resolve().parents[2]
PROVISION = Job(argv=["provision-dax", "data:64"], timeout=180)
# A script of uuid-runtime makes a user.
RECIPE = """
description = "a small Debian"
extends = "dax"
system = ["sqlite3", "uuid-runtime"]
"""
SQL = "create table t(a, b); insert into t values (1, 'one'), (2, 'two'); select sum(a) from t;"


@pytest.fixture(scope="module")
def system(store: Store, tmp_path_factory: pytest.TempPathFactory) -> ImageArtifact:
    root = tmp_path_factory.mktemp("project")
    for name in ("kernel-patches", "experiments"):
        (root / name).symlink_to(ROOT / name)
    images = root / "guest-images"
    (images / "small/overlay/etc").mkdir(parents=True)
    (images / "small/recipe.toml").write_text(RECIPE)
    (images / "small/overlay/etc/motd").write_text("from the overlay\n")
    for name in ("dax", "programs"):
        (images / name).symlink_to(ROOT / "guest-images" / name)
    return build_image(store, Project(root), "small", PlainReporter())


@pytest.fixture(scope="module", params=["tcg", "icount"])
def template(
    request: pytest.FixtureRequest, store: Store, plain: KernelArtifact, system: ImageArtifact
) -> Template:
    accel: Accel = request.param
    machine = Machine(memory_mib=512, vcpus=2, nvdimm_mib=512, accel=accel)
    return Templates(store).get(machine, plain, system, PROVISION)


def output(template: Template, folder: Path, line: str) -> str:
    with template.fork(folder) as guest:
        result = guest.run(Job(argv=["bash", "-c", line]), Deadline.after(120, line))
    assert result.status == 0, result.output
    return result.output


def test_packages_are_installed_by_their_scripts(template: Template, tmp_path: Path) -> None:
    said = output(
        template,
        tmp_path,
        "getent passwd uuidd && readlink /etc/alternatives/awk && ldconfig -p | grep -c libsqlite3"
        " && stat -c %U /var/mail /run && dpkg -l sqlite3 | tail -n 1 && cat /etc/motd",
    ).splitlines()
    assert said[0].startswith("uuidd:x:")
    assert said[1] == "/usr/bin/mawk"
    assert int(said[2]) > 0
    assert said[3:5] == ["root", "root"]
    assert said[5].startswith("ii  sqlite3")
    assert said[6] == "from the overlay"


def test_programs_use_the_dax_mount_and_announce_phases(template: Template, tmp_path: Path) -> None:
    said = output(
        template,
        tmp_path,
        f'trial phase start && sqlite3 /mnt/dax/db "{SQL}" && stat -f -c %T /mnt/dax /'
        " && grep -c dax=always /proc/mounts",
    )
    assert said.split() == ["3", "xfs", "overlayfs", "1"]


def test_what_a_guest_writes_is_its_own(template: Template, tmp_path: Path) -> None:
    written = "echo own > /etc/own && rm /etc/motd && mkdir -p /opt/own && cat /etc/own"
    assert output(template, tmp_path / "one", written) == "own\n"
    seen = output(template, tmp_path / "two", "cat /etc/motd; ls -d /etc/own /opt/own 2>&1 || true")
    assert seen.splitlines()[0] == "from the overlay"
    assert seen.count("No such file") == 2


def test_forks_repeat_to_the_byte(template: Template, tmp_path: Path) -> None:
    if not template.recipe.machine.deterministic:
        pytest.skip("without icount two forks differ in detail")
    line = f'sqlite3 /mnt/dax/db "{SQL}"; md5sum /proc/vmstat /usr/bin/sqlite3'
    said = {output(template, tmp_path / str(n), f"{line}; true") for n in range(3)}
    assert len(said) == 1
