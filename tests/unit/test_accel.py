# SPDX-License-Identifier: Apache-2.0
"""Choosing an accelerator: what is believed, what is remembered, what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import GuestError, GuestLost, GuestSplat, GuestTimeout, HostError
from driver.guest import accel
from driver.guest.accel import choose
from driver.guest.machine import Accel
from driver.store import Store

NOWHERE = Path("/nowhere")
KERNEL = KernelArtifact("k", "6.12.117", NOWHERE, NOWHERE, NOWHERE, NOWHERE, {})
IMAGE = ImageArtifact("i", "dax", NOWHERE, {})


class Host:
    """A host on which a guest takes so many seconds, or fails."""

    def __init__(self, tcg: float | GuestError, kvm: float | Exception, answer: str = "42") -> None:
        self.tcg, self.kvm, self.answer = tcg, kvm, answer
        self.load = 1.0
        self.tried: list[tuple[Accel, float]] = []

    def run(
        self,
        kind: Accel,
        _kernel: KernelArtifact,
        _image: ImageArtifact,
        seconds: float,
        directory: Path,
    ) -> tuple[float, str]:
        self.tried.append((kind, seconds))
        if kind == "tcg":
            if isinstance(self.tcg, GuestError):
                self.tcg.log = directory / "console.log"
                self.tcg.log.write_text("what it said")
                raise self.tcg
            return self.tcg, "42"
        if isinstance(self.kvm, Exception):
            raise self.kvm
        return self.kvm, self.answer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Host], Host]:
    device = tmp_path / "kvm"
    device.touch()

    def install(made: Host) -> Host:
        monkeypatch.setattr(accel, "DEVICE", device)
        monkeypatch.setattr(accel, "_try", made.run)
        monkeypatch.setattr(accel, "qemu_version", lambda: "QEMU 7.2")
        monkeypatch.setattr(accel, "_DEVICE_NUMBERS", (0, 0))
        monkeypatch.setattr(accel, "_numbers", lambda: (0, 0))
        monkeypatch.setattr(accel, "load_factor", lambda: made.load)
        return made

    return install


def test_a_kvm_that_works_is_used(host: Callable[[Host], Host], tmp_path: Path) -> None:
    host(Host(tcg=3.0, kvm=0.5))
    choice = choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert choice.accel == "kvm"
    assert "0.5 s under KVM, 3.0 s under emulation" in choice.reason


@pytest.mark.parametrize(
    ("kvm", "answer", "reason"),
    [
        (GuestLost("QEMU was killed by SIGABRT while booting"), "", "killed by SIGABRT"),
        (GuestTimeout("a guest under kvm did not finish within 3 s"), "", "did not finish"),
        (9.0, "42", "KVM is slower here"),
        (0.5, "41", "computed '41' instead of '42'"),
    ],
)
def test_a_kvm_that_does_not_work_is_not_used(
    host: Callable[[Host], Host],
    tmp_path: Path,
    kvm: float | Exception,
    answer: str,
    reason: str,
) -> None:
    made = host(Host(3.0, kvm, answer))
    choice = choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert choice.accel == "tcg"
    assert reason in choice.reason
    assert made.tried[1] == ("kvm", 3.0)  # as long as emulation took, and no longer
    with pytest.raises(HostError, match="KVM cannot be used"):
        choose("kvm", Store(tmp_path), KERNEL, IMAGE)


def test_the_verdict_is_remembered(host: Callable[[Host], Host], tmp_path: Path) -> None:
    made = host(Host(tcg=3.0, kvm=0.5))
    said: list[str] = []
    store = Store(tmp_path)
    first = choose("auto", store, KERNEL, IMAGE, notify=said.append)
    assert choose("auto", store, KERNEL, IMAGE, notify=said.append) == first
    assert len(made.tried) == 2
    assert len(said) == 2


def test_a_new_qemu_is_tried_again(
    host: Callable[[Host], Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(Host(tcg=3.0, kvm=0.5))
    choose("auto", Store(tmp_path), KERNEL, IMAGE)
    monkeypatch.setattr(accel, "qemu_version", lambda: "QEMU 9.0")
    choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert len(made.tried) == 4


def test_a_damaged_memory_is_replaced(host: Callable[[Host], Host], tmp_path: Path) -> None:
    made = host(Host(tcg=3.0, kvm=0.5))
    choose("auto", Store(tmp_path), KERNEL, IMAGE)
    (record,) = (tmp_path / "accel").glob("*.json")
    record.write_text("{")
    assert choose("auto", Store(tmp_path), KERNEL, IMAGE).accel == "kvm"
    assert len(made.tried) == 4


def test_what_was_asked_for_is_not_tried(host: Callable[[Host], Host], tmp_path: Path) -> None:
    made = host(Host(tcg=3.0, kvm=0.5))
    assert choose("tcg", Store(tmp_path), KERNEL, IMAGE).accel == "tcg"
    assert choose("icount", Store(tmp_path), KERNEL, IMAGE).accel == "icount"
    assert not made.tried


def test_a_host_without_kvm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "kvm")
    choice = choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert choice.accel == "tcg"
    assert "has no" in choice.reason
    with pytest.raises(HostError, match="has no"):
        choose("kvm", Store(tmp_path), KERNEL, IMAGE)


def test_the_deadline_of_a_boot_follows_the_host(
    host: Callable[[Host], Host], tmp_path: Path
) -> None:
    host(Host(tcg=10.0, kvm=GuestLost("no")))
    assert choose("auto", Store(tmp_path), KERNEL, IMAGE).boot_seconds == pytest.approx(200)


def test_that_of_emulation_does_not_follow_a_kvm_that_is_not_used(
    host: Callable[[Host], Host], tmp_path: Path
) -> None:
    host(Host(tcg=10.0, kvm=0.5, answer="wrong"))
    assert choose("auto", Store(tmp_path), KERNEL, IMAGE).boot_seconds == pytest.approx(200)


def test_a_kernel_that_does_not_boot_leaves_its_console(
    host: Callable[[Host], Host], tmp_path: Path
) -> None:
    host(Host(tcg=GuestSplat("the guest's kernel reported panic", kind="panic"), kvm=0.5))
    with pytest.raises(GuestSplat) as caught:
        choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert caught.value.log is not None
    assert caught.value.log.read_text() == "what it said"


def test_the_deadline_follows_the_load_of_the_moment(
    host: Callable[[Host], Host], tmp_path: Path
) -> None:
    made = host(Host(tcg=20.0, kvm=GuestLost("killed")))
    made.load = 10.0
    busy = choose("auto", Store(tmp_path), KERNEL, IMAGE).boot_seconds
    assert busy == pytest.approx(400.0), "20 times the 2 s of an idle host, at a load of 10"
    made.load = 1.0
    later = choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert len(made.tried) == 2, "proven once"
    assert later.boot_seconds == pytest.approx(40.0), "20 s at a load of 10 is 2 s on an idle host"


def test_a_verdict_about_another_device_is_not_believed(
    host: Callable[[Host], Host], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(Host(tcg=3.0, kvm=GuestLost("killed")))
    assert choose("auto", Store(tmp_path / "cache"), KERNEL, IMAGE).accel == "tcg"
    (tmp_path / "other").touch()
    monkeypatch.setattr(accel, "DEVICE", tmp_path / "other")
    made.kvm = 0.5
    assert choose("auto", Store(tmp_path / "cache"), KERNEL, IMAGE).accel == "kvm"
    assert len(made.tried) == 4


def test_something_else_in_the_place_of_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accel, "DEVICE", Path("/dev/null"))
    choice = choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert (choice.accel, "/dev/null is the device 1:3" in choice.reason) == ("tcg", True)
    monkeypatch.setattr(accel, "DEVICE", tmp_path)
    with pytest.raises(HostError, match="is no device"):
        choose("kvm", Store(tmp_path), KERNEL, IMAGE)


def test_a_verdict_says_its_age_and_how_to_ask_again(
    host: Callable[[Host], Host], tmp_path: Path
) -> None:
    made = host(Host(tcg=3.0, kvm=GuestLost("killed")))
    choose("auto", Store(tmp_path), KERNEL, IMAGE)
    (record,) = (tmp_path / "accel").iterdir()
    old = json.loads(record.read_text())
    record.write_text(json.dumps({**old, "made": old["made"] - 3 * 3600}))
    reason = choose("auto", Store(tmp_path), KERNEL, IMAGE).reason
    assert f"checked 3 h ago; to check again, remove {record}" in reason
    record.unlink()
    choose("auto", Store(tmp_path), KERNEL, IMAGE)
    assert len(made.tried) == 4
