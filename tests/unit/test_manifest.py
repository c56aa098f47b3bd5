# SPDX-License-Identifier: Apache-2.0
"""Manifests: those of schema version 1 are read as if they were new, typed to the bottom."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic_runs import FOOTPRINT, LINE, SyntheticRun

from analysis.load import SAMPLES, find_run
from driver.compare.common import circumstances
from driver.compare.comparison import compare_runs
from driver.errors import UserError
from driver.experiment.conclusion import read_conclusion
from driver.guest.machine import Machine
from driver.htmlreport import origin
from driver.htmlreport.page import render
from driver.results.directory import RunDirectory
from driver.results.guest_record import KernelProvenance, MachineRecord, Record
from driver.results.manifest import Manifest, read_manifest, write_manifest
from driver.results.migration import UnknownSchema, migrate
from driver.validity import Accelerator

OLD = find_run("disabled-cost", SAMPLES, SAMPLES)
# Runs from before the present schema; there are newer samples as well.
SAMPLED = sorted(
    path.parent
    for path in SAMPLES.glob("*/manifest.json")
    if json.loads(path.read_text(encoding="utf-8"))["schema_version"] == 1
)


def content_of(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("path", SAMPLED, ids=lambda path: str(path.name))
def test_committed_runs_of_schema_1_are_read(path: Path) -> None:
    before = (path / "manifest.json").read_bytes()
    content = json.loads(before)
    manifest = read_manifest(RunDirectory(path))
    assert content["schema_version"] == 1
    assert manifest.schema_version == 2
    for old, guest in zip(content["guests"], manifest.guests, strict=True):
        assert guest.kernel.release == old["kernel"]["release"]
        assert guest.kernel.provenance is not None
        assert guest.kernel.provenance.source.version in old["kernel"]["release"]
        assert guest.image.digest == old["image"]["digest"]
        assert guest.machine.memory_mib == old["machine"]["memory_mib"]
        assert guest.qemu.argv == old["qemu"]["argv"]
    assert (path / "manifest.json").read_bytes() == before


def test_an_old_name_of_an_accelerator_is_one_name_everywhere() -> None:
    content = content_of(OLD)
    assert (content["accelerator"], content["guests"][0]["machine"]["accel"]) == ("exact",) * 2
    manifest = read_manifest(RunDirectory(OLD))
    assert manifest.accelerator is Accelerator.ICOUNT
    assert {guest.machine.accel for guest in manifest.guests} == {"icount"}


def test_old_runs_under_icount_have_digests_of_their_nvdimm_and_go_on_taking_them() -> None:
    assert read_manifest(RunDirectory(OLD)).options.digest_nvdimm
    counts = read_manifest(RunDirectory(find_run("contention", SAMPLES, SAMPLES)))
    assert counts.accelerator is Accelerator.TCG
    assert not counts.options.digest_nvdimm


def test_what_is_migrated_and_written_is_read_as_the_same(tmp_path: Path) -> None:
    migrated = read_manifest(RunDirectory(OLD))
    run = RunDirectory(tmp_path)
    write_manifest(run, migrated)
    assert json.loads(run.manifest.read_text(encoding="utf-8"))["schema_version"] == 2
    assert read_manifest(run) == migrated


def test_what_an_old_run_does_not_say_is_none_and_said_to_be_unknown() -> None:
    content = content_of(OLD)
    for guest in content["guests"]:
        del guest["kernel"]["provenance"]
        del guest["kernel"]["release"]
        del guest["image"]["provenance"]
        del guest["qemu"]["template_digests"]
    manifest = Manifest.model_validate(migrate(content))
    guest = manifest.guests[0]
    assert guest.kernel.provenance is None
    assert guest.image.provenance is None
    assert guest.qemu.template_digests is None
    _, facts = origin.guest(guest)
    assert ("source", "not recorded") in facts
    assert f"not recorded (digest {guest.kernel.digest})" in dict(facts)["kernel"]
    differing = circumstances(read_manifest(RunDirectory(OLD)), manifest)
    assert {item.what for item in differing} == {
        f"kernel of series {guest.kernel.series}" for guest in manifest.guests
    }
    assert all(item.second.startswith("not recorded (") for item in differing)


def test_provenance_without_the_newest_facts_is_read() -> None:
    content = content_of(OLD)
    for guest in content["guests"]:
        del guest["kernel"]["provenance"]["debug_info"]
    guest = Manifest.model_validate(migrate(content)).guests[0]
    assert ("debug information", "not recorded") in origin.guest(guest)[1]


@pytest.mark.parametrize(
    ("version", "words"),
    [
        (9, "schema version 9"),
        (0, "schema version 0"),
        (None, "no schema version"),
        ("2", "'2'"),
        (True, "schema version true"),
        (1.0, "schema version 1.0"),
        (2.0, "schema version 2.0"),
    ],
)
def test_an_unknown_version_is_refused(version: object, words: str) -> None:
    with pytest.raises(UnknownSchema, match=words):
        migrate({**content_of(OLD), "schema_version": version})


def _drop(*keys: str | int) -> Callable[[dict[str, Any]], None]:
    def drop(content: dict[str, Any]) -> None:
        place: Any = content
        for key in keys[:-1]:
            place = place[key]
        del place[keys[-1]]

    return drop


def _set(value: Any, *keys: str | int) -> Callable[[dict[str, Any]], None]:
    def put(content: dict[str, Any]) -> None:
        place: Any = content
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value

    return put


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_drop("guests"), "guests: it should be a list"),
        (_set("none", "guests"), "guests: it should be a list"),
        (_set([7], "guests"), "guests.0: "),
        (_set(7, "guests", 0, "kernel"), "guests.0.kernel: "),
        (_drop("guests", 0, "kernel", "digest"), "guests.0.kernel.digest: it is missing"),
        (_drop("guests", 0, "machine", "vcpus"), "guests.0.machine.vcpus: it is missing"),
        (_set("?", "guests", 0, "machine", "vcpus"), "guests.0.machine.vcpus: "),
        (_set("warp", "guests", 0, "machine", "accel"), "guests.0.machine.accel: "),
        (_set(1, "guests", 0, "qemu", "colour"), "guests.0.qemu.colour: unknown key"),
        (_set({}, "plan", 0, "factors"), "has the factors none; the run has "),
        (_set("x", "plan", 0, "factors", "more"), "has the factors "),
        (_set([], "factors"), "the run has none"),
        (
            _set("cvs", "guests", 0, "kernel", "provenance", "source", "origin", "kind"),
            "guests.0.kernel.provenance.source.origin: ",
        ),
    ],
)
def test_a_manifest_of_schema_1_that_is_damaged_says_where(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    content = copy.deepcopy(content_of(OLD))
    change(content)
    (tmp_path / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        read_manifest(RunDirectory(tmp_path))
    assert words in caught.value.message
    assert "Traceback" not in caught.value.message


def test_a_manifest_that_is_no_object_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(UserError, match="not a JSON object"):
        read_manifest(RunDirectory(tmp_path))


def test_a_manifest_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    nested = "[" * 100_000 + "]" * 100_000
    (tmp_path / "manifest.json").write_text(f'{{"schema_version": {nested}}}', encoding="utf-8")
    with pytest.raises(UserError, match="recursion"):
        read_manifest(RunDirectory(tmp_path))


def test_the_machine_is_recorded_field_by_field() -> None:
    fields = [field.name for field in dataclasses.fields(Machine)]
    assert list(MachineRecord.model_fields) == fields
    assert MachineRecord.model_validate(dataclasses.asdict(Machine())).memory_mib == 1024


ORIGINS: list[dict[str, Any]] = [
    {"kind": "debian", "package": "linux-source-6.12", "version": "6.12.117-1"},
    {"kind": "tarball", "url": "https://example.org/linux.tar.xz", "sha256": "feed"},
    {"kind": "directory", "path": "/src/linux"},
    {"kind": "directory", "path": "/src/linux", "commit": "c0ffee", "uncommitted": True},
    {
        "kind": "checkout",
        "path": "/src/linux",
        "series": "6.12",
        "base": {"kind": "debian", "package": "linux-source-6.12", "version": "6.12.117-1"},
        "commit": "c0ffee",
        "uncommitted": False,
    },
]


@pytest.mark.parametrize("origin_", ORIGINS, ids=lambda found: str(found["kind"]))
def test_every_kind_of_source_is_read(origin_: dict[str, Any]) -> None:
    provenance = content_of(OLD)["guests"][0]["kernel"]["provenance"]
    provenance["source"]["origin"] = origin_
    found = KernelProvenance.model_validate(provenance).source.origin
    assert found.model_dump(exclude_unset=True) == origin_


def test_nothing_below_the_manifest_is_untyped() -> None:
    seen: set[type[Record]] = set()
    waiting: list[type[Record]] = [Manifest]
    while waiting:
        model = waiting.pop()
        seen.add(model)
        for name, field in model.model_fields.items():
            text = str(field.annotation)
            assert "Any" not in text, (model, name)
            assert "object" not in text, (model, name)
        for other in Record.__subclasses__():
            if other not in seen and any(
                other.__name__ in str(field.annotation) for field in model.model_fields.values()
            ):
                waiting.append(other)
    assert seen >= set(Record.__subclasses__()), "what is not part of a manifest is no Record"


def test_a_run_of_schema_1_can_be_reported_and_compared() -> None:
    old = read_conclusion(RunDirectory(find_run(FOOTPRINT, SAMPLES, SAMPLES)))
    page = render(old)
    assert "package linux-source-6.12" in page
    assert "None" not in page
    assert compare_runs(old, old).circumstances == []


def test_a_new_run_has_the_present_schema(tmp_path: Path) -> None:
    run = SyntheticRun(tmp_path / "run", LINE).write()
    assert content_of(run.path)["schema_version"] == 2
