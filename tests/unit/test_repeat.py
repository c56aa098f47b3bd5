# SPDX-License-Identifier: Apache-2.0
"""The command that repeats a run is understood, and asks for the same trials."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from helpers.synthetic_runs import FakeGuestRun

from driver.results.manifest import Manifest
from driver.results.repeat import repeat_command
from driver.results.verdict import CONFIRMED, FAILS, HOLDS, NO_DATA, REFUTED, UNDECIDED
from driver.results.verdict import of_prediction as conclude
from driver.validity import Accelerator

ODD: dict[str, Any] = {
    "quick": True,
    "only": {"entry": ["4K", "2M"]},
    "repeat": 3,
    "jobs": 2,
    "digest_nvdimm": True,
    "force": True,
    "source": "~/my linux",
    "unpatched_source": "~/linux",
    "bases": ["6.12"],
    "kernel_args": ("debug", "trace_event=mmap:*"),
    "qemu_args": ("-device", "edu"),
    "allow_splat": ("warn",),
    "timeout_factor": 2.5,
    "instruments": ("functions",),
    "dump": True,
}


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    bench = FakeGuestRun(tmp_path)
    bench.begin()
    return bench.manifest


def words(manifest: Manifest, *, pinned: bool = True) -> list[str]:
    return shlex.split(repeat_command(manifest, pinned=pinned))[4:]


def test_every_option_that_decides_what_is_measured_is_in_it(manifest: Manifest) -> None:
    options = manifest.options.model_copy(update=ODD)
    line = words(manifest.model_copy(update={"options": options}))
    chosen = ["--quick", "--only", "entry=4K,2M", "--repeat", "3", "--jobs", "2"]
    chosen += ["--digest-nvdimm", "--force", "--dump"]
    assert line[: len(chosen)] == chosen
    assert line[len(chosen) + 2 :] == [
        "--source",
        "~/my linux",
        "--unpatched-source",
        "~/linux",
        "--allow-splat=warn",
        "--instrument",
        "functions",
        "--timeout-factor",
        "2.5",
        "--kernel-arg=debug",
        "--kernel-arg=trace_event=mmap:*",
        "--qemu-arg=-device",
        "--qemu-arg=edu",
    ]
    # What only changes how a run is attended to is no part of what it measures.
    rest = set(type(options).model_fields) - set(ODD)
    assert rest == {"keep_guest"}


def test_bases_are_named_where_no_source_says_what_they_are(manifest: Manifest) -> None:
    several = manifest.options.model_copy(update={"bases": ["6.12", "7.3"]})
    line = words(manifest.model_copy(update={"options": several}))
    assert line[-2:] == ["--base", "6.12,7.3"]


def test_an_accelerator_is_named_where_the_experiment_names_another(manifest: Manifest) -> None:
    text = manifest.experiment.text
    asks = 'accelerator = "icount"\n' + text.replace('accelerator = "', 'was = "')
    counted = manifest.model_copy(
        update={
            "experiment": manifest.experiment.model_copy(update={"text": asks}),
            "accelerator": Accelerator.TCG,
        }
    )
    assert words(counted, pinned=False) == ["--accel", "tcg"]
    as_named = counted.model_copy(update={"accelerator": Accelerator.ICOUNT})
    assert words(as_named, pinned=False) == []
    assert words(as_named) == ["--accel", "icount"]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        ([HOLDS, HOLDS], CONFIRMED),
        ([HOLDS, FAILS, NO_DATA], REFUTED),
        ([HOLDS, NO_DATA], UNDECIDED),
        ([], UNDECIDED),
    ],
)
def test_one_counter_example_refutes(rows: list[str], verdict: str) -> None:
    assert conclude(rows) == verdict
