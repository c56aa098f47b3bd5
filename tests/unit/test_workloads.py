# SPDX-License-Identifier: Apache-2.0
"""Workloads on this host, by hand: what they say, and that they refuse to measure the wrong thing.

What they measure is tested in a guest: here there is no DAX, so their own checks must fail.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from driver import process
from driver.image.programs import FLAGS

ROOT = Path(__file__).parents[2]
WORKLOADS = ROOT / "experiments" / "workloads"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

# Steps of worker processes: each doubles its index; one of them kills itself on demand.
WORKERS = """
#include "workers.h"
static struct worker_report duty(size_t index, int step, const void *context)
{
	struct worker_report report = { { 2 * (long)index + step } };
	if (step == 2 && index == *(const size_t *)context)
		raise(SIGKILL);
	if (step == 3 && index == *(const size_t *)context)
		_exit(9);
	return report;
}
int main(int argc, char **argv)
{
	size_t count = atoi(argv[1]), victim = atoi(argv[2]);
	struct workers workers;
	long sum = 0;
	if (argc != 4)
		return 2;
	workers_start(&workers, count, duty, &victim);
	workers_step(&workers, 0, count, 1);
	workers_step(&workers, 0, count / 2, atoi(argv[3]));
	for (size_t i = 0; i < count; i++)
		sum += workers.slots[i].report.numbers[0];
	trial_phase("done", workers.pids, count);
	trial_value("sum", "count", sum);
	workers_stop(&workers);
	return 0;
}
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workloads")
    (folder / "workers.c").write_text(WORKERS)
    for source in [
        WORKLOADS / "footprint.c",
        WORKLOADS / "table-lifecycle.c",
        folder / "workers.c",
    ]:
        process.run(["gcc", *FLAGS, "-I", WORKLOADS, "-o", folder / source.stem, source])
    return folder


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, timeout=30, check=False
    )


def test_workers_step_together_and_report(programs: Path) -> None:
    count = 200
    done = run(programs / "workers", count, count, 4)
    expected = sum(2 * i + (4 if i < count // 2 else 1) for i in range(count))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"phase done\nvalue sum {expected} count\n"


@pytest.mark.parametrize(
    ("step", "reason"),
    [(2, "worker 3 was killed by signal 9"), (3, "worker 3 exited with status 9")],
)
def test_a_worker_that_dies_is_noticed_at_once(programs: Path, step: int, reason: str) -> None:
    done = run(programs / "workers", 8, 3, step)
    assert (done.returncode, done.stderr.strip()) == (1, reason)


@pytest.mark.parametrize("entry", ["2M", "4K"])
def test_footprint_refuses_a_file_that_is_not_dax(
    programs: Path, tmp_path: Path, entry: str
) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
    done = run(programs / "footprint", "--file", file, "--processes", 2, "--entry", entry, "--read")
    assert done.returncode == 1
    assert re.findall(r"^phase (\S+)", done.stdout, re.MULTILINE) == ["before", "mapped", "touched"]
    # Either more, fewer or other entries than asked for, or a kernel older than PAGEMAP_SCAN.
    assert re.search(r"expected 512 of|PAGEMAP_SCAN", done.stderr)


@pytest.mark.parametrize(
    ("words", "status", "reason"),
    [
        ([], 2, "usage"),
        (["--file", "x", "--entry", "1G"], 1, "--entry 1G: it is 2M or 4K"),
        (["--file", "x", "--private"], 2, "usage"),
        (["--file", "x", "--processes", "0"], 1, "--processes 0"),
        (["--file", "x", "--processes", "-1"], 1, "--processes -1"),
        (["--file", "x", "--gib", "1x"], 1, "--gib 1x"),
        (["--file", "x", "--step", "5000"], 1, "multiple of 4K"),
        (["--file", "x", "--step", "99999999999999999999"], 1, "--step"),
        (["--file", "x", "--place", "here"], 1, "near, lonely or kernel"),
        (["--file", "/no/such/file"], 1, "/no/such/file: No such file"),
        (["--file", "/etc/passwd", "--read"], 1, "1024 are needed"),
        (["--file", "x", "more"], 2, "usage"),
    ],
)
def test_footprint_tells_mistakes(
    programs: Path, words: list[str], status: int, reason: str
) -> None:
    done = run(programs / "footprint", *words)
    assert done.returncode == status
    assert reason in done.stderr


def test_table_lifecycle_sees_shared_writes_and_keeps_private_ones(
    programs: Path, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    with file.open("wb") as opened:
        opened.truncate(1 << 30)
    done = run(programs / "table-lifecycle", "--file", file, "--private")
    if "PAGEMAP_SCAN" in done.stderr:
        pytest.skip("this host's kernel is older than PAGEMAP_SCAN (6.7)")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^phase (\S+)", done.stdout, re.MULTILINE) == [
        "start",
        "new",
        "share",
        "private-write",
        "unmap-shared",
        "unmap-last",
    ]
