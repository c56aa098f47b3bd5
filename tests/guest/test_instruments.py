# SPDX-License-Identifier: Apache-2.0
"""Instruments count right, and a guest does not notice them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from programs import image_with_programs

from driver.api.instruments import watch
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.deadline import Deadline
from driver.guest.job import Job
from driver.guest.machine import Machine
from driver.guest.template import Templates
from driver.instruments.functions import KERNEL, USER
from driver.instruments.programs import UNKNOWN
from driver.store import Store

SECONDS = 600
DRIVER = (sys.executable, "-m", "driver.cli.main")
# Of windows.c, in its order: instructions of the program itself.
LENGTHS = {
    "nothing": 0,
    "loop": 2 * 1000 + 1,
    "call": 4 * 100 + 1,
    "touch": 6 * 200 + 1,
    "touch-again": 6 * 200 + 1,
    "jump": 5 * 50 + 1,
    "jump-again": 5 * 50 + 1,
}
# Two markers, one reading of the clock and what keeps the other lie between the two readings.
AROUND = 6


@pytest.fixture(params=[1, 4], ids=["1 processor", "4 processors"])
def seen(
    request: pytest.FixtureRequest,
    plain: KernelArtifact,
    image: ImageArtifact,
    store: Store,
    tmp_path: Path,
) -> tuple[pd.DataFrame, pd.DataFrame, Mapping[str, int]]:
    """What ``functions`` saw of the program, by function and by window, and its own readings."""
    machine = Machine(memory_mib=256, nvdimm_mib=0, accel="icount", vcpus=request.param)
    template = Templates(store).get(machine, plain, image_with_programs(store, image, tmp_path))
    watched = watch(store, template, ["functions"])
    job = Job(argv=["windows"], timeout=SECONDS)
    with watched.fork(tmp_path) as guest:
        result = guest.run(job, Deadline.after(SECONDS, "windows"))
    assert result.status == 0, result.output
    lines = [line.split() for line in result.output.splitlines()]
    ticks = {name: int(number) for name, number in lines}
    # The first announcement comes after the beginning, which is a phase as well.
    tables = watched.observations(tmp_path, ["beginning", *list(LENGTHS)[:-1]])
    functions, windows = (pd.DataFrame(tables[name]) for name in ("functions.csv", "windows.csv"))
    for table in (functions, windows):
        table["phase"] = table["phase"].replace("(end)", list(LENGTHS)[-1])
    return functions, windows, {name: ticks[name] >> machine.icount_shift for name in ticks}


def test_what_is_counted_is_what_was_executed(
    seen: tuple[pd.DataFrame, pd.DataFrame, Mapping[str, int]],
) -> None:
    functions, windows, clock = seen
    functions = functions[functions["window"] == "cost"]
    windows = windows[windows["window"] == "cost"].set_index("phase")
    assert list(clock) == list(LENGTHS)
    for name, length in LENGTHS.items():
        mine = functions[functions["phase"] == name]
        total = mine["instructions"].sum()
        assert total == clock[name] - AROUND, f"{name}: the clock disagrees"
        assert windows["entered"].get(name, 1) == 1
        user = mine[mine["space"] == USER].groupby("function")["instructions"].sum()
        # The code that is called is in a file of its own, which no image has.
        called = 50 if name.startswith("jump") else 0
        assert user.get("windows", 0) == length - called, name
        assert user.get(UNKNOWN, 0) == called, name
        assert windows["uncertain"].get(name, 0) == 0
    # Other processors may have done other things meanwhile.
    here = functions.loc[functions["function"] == "windows", "cpu"].unique()
    kernel = functions[(functions["space"] == KERNEL) & functions["cpu"].isin(here)]
    calls = kernel.groupby(["phase", "function"])["calls"].sum()
    assert calls["call", "__x64_sys_getppid"] == 100
    assert calls["touch", "handle_mm_fault"] == calls["touch", "asm_exc_page_fault"] == 200
    assert calls["jump", "handle_mm_fault"] == 50
    assert ("touch-again", "handle_mm_fault") not in calls
    assert ("jump-again", "handle_mm_fault") not in calls


def test_a_guest_does_not_notice(scratch_project: Path) -> None:
    """Console, samples and NVDIMM are the same to the byte, with one processor and with four."""
    done = subprocess.run(
        [*DRIVER, "run", "experiment", "instruments", "--repeat", "1"],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    run = scratch_project / "results" / "latest"
    digests: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for path in run.glob("trials/*.json"):
        record = json.loads(path.read_text())
        factors = record["factors"]
        digests.setdefault((factors["workload"], factors["vcpus"]), []).append(record["digests"])
    assert len(digests) == 4
    for kind, found in digests.items():
        assert found[0].keys() == {"console", "result", "nvdimm"}, kind
        assert len(found) >= 2
        assert all(one == found[0] for one in found), kind
    manifest = json.loads((run / "manifest.json").read_text())
    watchers = [[one["name"] for one in guest["instruments"]] for guest in manifest["guests"]]
    assert [] in watchers
    assert ["functions"] in watchers
    functions = pd.read_csv(run / "functions.csv")
    assert set(functions["instrument"]) == {"functions"}
    assert {"footprint", "icount-calibration"} <= set(functions["function"])
