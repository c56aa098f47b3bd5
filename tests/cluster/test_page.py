# SPDX-License-Identifier: Apache-2.0
"""The how-to page, command by command, on three machines: namespaces with a link between them."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from helpers.cluster_bed import ClusterBed, require_links, rows_of
from helpers.documentation import ROOT, blocks
from helpers.fault_injection import until
from helpers.synthetic_runs import FakeGuestRun

pytest.importorskip("distributed")

PAGE = ROOT / "docs/how-to/use-several-machines.md"


def commands() -> dict[str, list[str]]:
    """The driver's commands on the page, by their first words."""
    found: dict[str, list[str]] = {}
    for block in blocks(PAGE):
        for line in block.text.splitlines() if block.language == "sh" else ():
            words = shlex.split(line)
            if words[0] == "driver" and "local:2" not in words:
                found[" ".join(words[1:3] if words[1] in ("cluster", "run") else words[1:2])] = (
                    words
                )
    return found


@pytest.mark.slow
def test_three_machines_as_the_page_says(tmp_path: Path) -> None:
    bed = ClusterBed(tmp_path / "bed")
    network = require_links(bed)
    shutil.rmtree(bed.keys)
    page = commands()
    assert set(page) == {
        "cluster keys", "cluster scheduler", "worker", "run experiment", "run --resume",
    }  # fmt: skip

    def typed(name: str) -> list[str]:
        """A command's arguments, with this bed's keys and the address of `one`."""
        words = [word.replace("~/cluster-keys", str(bed.keys)) for word in page[name][1:]]
        return [word.replace("tls://one:8786", bed.address) for word in words]

    try:
        assert bed.start("hub", "driver.cli.main", typed("cluster keys")).status() == 0
        bed.scheduler = bed.start("hub", "driver.cli.main", typed("cluster scheduler"))
        scheduler = bed.scheduler
        until(lambda: "listens at" in scheduler.said(), "the scheduler listens")
        for name in ("one", "two", "three"):
            network.join(name)
            # Machines have names; these are all on the one that runs the test.
            words = [*typed("worker"), "--name", name]
            bed.hosts[name] = bed.start(name, "driver.cli.main", words)
        small = ["--accel", "tcg", "--only", "gib=1", "--only", "processes=1"]
        driver = bed.start("two", "helpers.fake_driver", [*typed("run experiment"), *small])
        assert driver.status() == 0, driver.said()
        alone = FakeGuestRun(tmp_path / "alone", only={"gib": ["1"], "processes": ["1"]})
        assert bed.rows() == rows_of(alone.run().directory.path)
        again = bed.start("three", "helpers.fake_driver", typed("run --resume"))
        assert again.status() == 0, again.said()
        bed.assert_nothing_left()
    finally:
        bed.close()
