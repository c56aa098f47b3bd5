# SPDX-License-Identifier: Apache-2.0
"""Workloads that measure costs, by hand on this host: what they say and what they refuse.

What they measure is tested where it means something, in a guest. Here the clock counts no
instructions, so it must say nanoseconds.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from driver import process
from driver.image.programs import FLAGS

WORKLOADS = Path(__file__).parents[2] / "experiments" / "workloads"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

# Sorts what it is given, and says what its clock counts.
COST = """
#include "cost.h"
int main(int argc, char **argv)
{
	struct cost_set set = cost_room(argc - 1);
	cost_open();
	cost_settle_code();
	for (int i = 1; i < argc; i++)
		set.values[i - 1] = atoi(argv[i]);
	printf("sum %lu\\n", (unsigned long)cost_sum(&set, argc - 1));
	cost_report(&set, argc - 1, "x");
	return cost_since(cost_now()) > 1000000000;
}
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workloads")
    (folder / "cost.c").write_text(COST)
    names = ("mappers", "lookup", "unshare")
    for source in [*(WORKLOADS / f"{name}.c" for name in names), folder / "cost.c"]:
        process.run(["gcc", *FLAGS, "-Werror", "-I", WORKLOADS, "-o", folder / source.stem, source])
    return folder


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("count", [1, 2, 7, 512])
def test_a_cost_is_the_median_and_its_ends(programs: Path, count: int) -> None:
    numbers = [(i * 7919 + 13) % 1009 for i in range(count)]
    done = run(programs / "cost", *numbers)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        f"sum {sum(numbers)}",
        f"value x {sorted(numbers)[count // 2]} ns",
        f"value x-least {min(numbers)} ns",
        f"value x-most {max(numbers)} ns",
    ]


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        (["mappers"], 2, "usage"),
        (["mappers", "--file", "x", "--entry", "1G"], 1, "--entry 1G: it is 2M or 4K"),
        (["mappers", "--file", "x", "--gib", "0"], 1, "--gib 0"),
        (["mappers", "--file", "/etc/passwd", "--read"], 1, "1024 are needed"),
        (["lookup"], 2, "usage"),
        (["lookup", "--file", "x", "--kind", "other"], 1, "matching, offset, protection or mixed"),
        (["lookup", "--file", "x", "--vmas", "-1"], 1, "--vmas -1"),
        (["unshare"], 2, "usage"),
        (["unshare", "--file", "x", "--companions", "9"], 1, "a number from 0 to 7"),
        (["unshare", "--file", "x", "--sharers", "0"], 1, "--sharers 0"),
        (["unshare", "--file", "x", "more"], 2, "usage"),
    ],
)
def test_mistakes_are_told(programs: Path, words: list[str], status: int, reason: str) -> None:
    done = run(programs / words[0], *words[1:])
    assert done.returncode == status
    assert reason in done.stderr
