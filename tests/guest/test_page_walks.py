# SPDX-License-Identifier: Apache-2.0
"""The model of TLBs follows a real guest: what it finds by walks is what the guest accessed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from driver.errors import HostError
from driver.instruments import instruments
from driver.instruments.plugin import demand_interface

SECONDS = 1200


@pytest.fixture(autouse=True)
def _new_enough() -> None:
    try:
        demand_interface(instruments()["page-walks"])
    except HostError as error:
        pytest.skip(error.message)


def test_the_model_follows_a_guest(scratch_project: Path) -> None:
    words = ["run", "experiment", "walk-cost", "--quick", "--only", "processes=1"]
    done = subprocess.run(
        [sys.executable, "-m", "driver.cli.main", *words],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    walks = pd.read_csv(scratch_project / "results/latest/page_walks.csv", keep_default_na=False)
    mine = walks[(walks["phase"] == "measured") & (walks["window"] == "cost")]
    mine = mine[mine["space"] == "user"]
    for (_, model), rows in mine.groupby(["trial", "model"]):
        counts = rows.groupby("event")["count"].sum()
        assert set(counts.index) >= {"access", "data", "walk", "reference"}, model
        # Each access is translated once and refers to its data once.
        assert counts["access"] == counts["data"] == counts["translation"] + counts["walk"]
        # One for each load, and a few of the code around them.
        assert 65536 <= counts["access"] < 65536 + 100
        assert "failed" not in counts, model
        assert "stale" not in counts, model
