# SPDX-License-Identifier: Apache-2.0
"""Workloads on this host, by hand: what they say, and that they refuse to measure the wrong thing.

What they measure is tested in a guest: here there is no DAX, so their own checks must fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from driver.image.programs import compile_programs

ROOT = Path(__file__).parents[2]
WORKLOADS = ROOT / "experiments" / "workloads"

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")

# Steps of worker processes: each doubles its index; one of them kills itself on demand.
STEPS = """
#include <signal.h>
#include "lib/workers.h"
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

# Sorts its arguments as samples, and shows what the clock counts: no instructions on this host.
COST = """
#include "lib/cost.h"
int main(int argc, char **argv)
{
	struct cost_set set = cost_alloc(argc - 1);
	cost_calibrate();
	cost_prefault_code();
	for (int i = 1; i < argc; i++)
		set.values[i - 1] = atoi(argv[i]);
	printf("sum %lu\\n", (unsigned long)cost_sum(&set, argc - 1));
	cost_report(&set, argc - 1, "x");
	return cost_since(cost_now()) > 1000000000;
}
"""

# Every kind of option, and its value.
ROWS = """
#include <stdio.h>
#include "lib/options.h"
enum color { RED = 3, GREEN = 5 };
static const struct option_choice colors[] = { { "red", RED }, { "green", GREEN }, { 0 } };
int main(int argc, char **argv)
{
	const char *file, *text;
	unsigned long guard[3] = { -1UL, 0, -1UL };
	int small;
	enum color color;
	bool flag, either;
	const struct option_row rows[] = {
		OPTION_OPERAND("FILE", &file, "an operand"),
		OPTION_TEXT("text", &text, "none", "TEXT", "a text"),
		OPTION_NUMBER("number", &small, "2", 1, 4096, "a number"),
		OPTION_SIZE("size", &guard[1], "2M", 4096, 1UL << 40, 4096, "a size"),
		OPTION_CHOICE("color", &color, "green", colors, "a choice"),
		OPTION_FLAG("flag", &flag, "a flag"),
		OPTION_EITHER("on", "off", &either, "a flag"),
	};
	options_parse(argc, argv, "Every kind.", rows, sizeof(rows) / sizeof(rows[0]));
	printf("%s %s %d %lu %d %d %d\\n", file, text, small, guard[1], color, flag, either);
	return ~guard[0] || ~guard[2];
}
"""


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All workloads and the programs above, as an image gets them."""
    folder = tmp_path_factory.mktemp("workloads")
    shutil.copytree(WORKLOADS, folder / "source")
    (folder / "source/cost.c").write_text(COST)
    (folder / "source/steps.c").write_text(STEPS)
    (folder / "source/rows.c").write_text(ROWS)
    compile_programs([folder / "source"], folder)
    return folder


def run(program: Path, *words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *map(str, words)], capture_output=True, text=True, timeout=30, check=False
    )


def test_workers_step_together_and_report(programs: Path) -> None:
    count = 200
    done = run(programs / "steps", count, count, 4)
    expected = sum(2 * i + (4 if i < count // 2 else 1) for i in range(count))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"phase done\nvalue sum {expected} count\n"


@pytest.mark.parametrize(
    ("step", "reason"),
    [(2, "worker 3 was killed by signal 9"), (3, "worker 3 exited with status 9")],
)
def test_a_worker_that_dies_is_noticed_at_once(programs: Path, step: int, reason: str) -> None:
    done = run(programs / "steps", 8, 3, step)
    assert (done.returncode, done.stderr.strip()) == (1, reason)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--at", "always", "--phase", "look"], {"start", "look", "end"}),
        # It sleeps, works, and sleeps again.
        (["--at", "waiting"], {"start", "sample", "end"}),
        (["--at", "peak", "--counter", "MemTotal"], {"start", "sample", "end"}),
    ],
)
def test_a_program_that_announces_nothing_is_sampled(
    programs: Path, words: list[str], expected: set[str]
) -> None:
    if "peak" in words and not os.access("/proc/sys/vm/stat_refresh", os.W_OK):
        pytest.skip("only root may fold the kernel's counters")
    script = "(sleep 0.3 & wait); exit 3"
    done = run(programs / "sample", *words, "--every", 20, "--", "sh", "-c", script)
    assert (done.returncode, done.stderr) == (3, "")
    said = [line.split() for line in done.stdout.splitlines()]
    phases = [words[1] for words in said if words[0] == "phase"]
    assert set(phases) == expected
    assert phases[0] == "start"
    assert phases[-1] == "end"
    values = {words[1]: float(words[2]) for words in said if words[0] == "value"}
    assert values["elapsed"] > 0.3e9
    assert values["faults"] > 100
    if "peak" in words:
        assert phases.count("sample") == 1, "all that is there does not grow"


def test_a_program_that_never_ends_is_ended(programs: Path) -> None:
    done = run(programs / "sample", "--every", 100, "--seconds", 1, "--", "sleep", "1000")
    assert done.returncode == 0
    assert done.stdout.split().count("sample") == 10
    for words, reason in ((["--"], "no program"), (["--", "/nosuch"], "/nosuch: No such file")):
        done = run(programs / "sample", *words)
        assert done.returncode
        assert reason in done.stderr


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
    ("words", "printed"),
    [
        ("x", "x none 2 2097152 5 0 1"),
        ("x --number 4K --size 1G --color red", "x none 4096 1073741824 3 0 1"),
        ("--flag --off --text y x", "x y 2 2097152 5 1 0"),
        ("x --off --on", "x none 2 2097152 5 0 1"),
        ("x --size=1024G", "x none 2 1099511627776 5 0 1"),
    ],
)
def test_options_have_defaults_and_take_values(programs: Path, words: str, printed: str) -> None:
    done = run(programs / "rows", *words.split())
    assert (done.returncode, done.stderr, done.stdout) == (0, "", f"{printed}\n")


def test_help_shows_names_ranges_and_defaults(programs: Path) -> None:
    done = run(programs / "rows", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert (
        done.stdout
        == """\
usage: rows FILE [OPTION]...
Every kind.

  FILE          an operand (required)
  --text TEXT   a text (default: none)
  --number N    a number (1 to 4096; default: 2)
  --size BYTES  a size (4K to 1024G in steps of 4K; default: 2M)
  --color NAME  a choice (red, green; default: green)
  --flag        a flag
  --on, --off   a flag (default: --on)
  --help        show this help
"""
    )


# `trial` has commands, not options.
@pytest.mark.parametrize(
    "source",
    sorted(set(WORKLOADS.glob("*.c")) - {WORKLOADS / "trial.c"}),
    ids=lambda path: path.stem,
)
def test_every_workload_has_help(programs: Path, source: Path) -> None:
    done = run(programs / source.stem, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {source.stem} ")
    assert re.search(r"^  \S.*\(.*(required|default: \S+)\)$", done.stdout, re.MULTILINE)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("rows", "FILE is required"),
        ("rows x y", "unexpected argument 'y'"),
        ("rows x --number 0", "--number 0: must be 1 to 4096"),
        ("rows x --number 4097", "--number 4097: must be 1 to 4096"),
        ("rows x --number -1", "--number -1: must be 1 to 4096"),
        ("rows x --number +1", "--number +1: must be 1 to 4096"),
        ("rows x --number 1x", "--number 1x: must be 1 to 4096"),
        ("rows x --number=", "--number : must be 1 to 4096"),
        ("rows x --number 4KK", "--number 4KK: must be 1 to 4096"),
        ("rows x --number 99999999999999999999", "must be 1 to 4096"),
        ("rows x --size 17179869184G", "must be 4K to 1024G in steps of 4K"),
        ("rows x --size 5000", "--size 5000: must be 4K to 1024G in steps of 4K"),
        ("rows x --color blue", "--color blue: must be one of red, green"),
        ("rows x --colour red", "unrecognized option '--colour'"),
        ("rows x --text", "option '--text' requires an argument"),
        ("footprint", "--file is required"),
        ("footprint --file x --private", "--private needs --read"),
        ("footprint --file x --entry 1G", "--entry 1G: must be one of 2M, 4K"),
        ("footprint --file x --place here", "must be one of near, lonely, kernel"),
        ("lookup --file x --kind no", "must be one of matching, offset, protection, mixed"),
        ("unshare --file x --companions 9", "--companions 9: must be 0 to 7"),
        ("ordinary --memory dax-2M", "--file is required"),
        ("ordinary --memory anonymous --file x", "--memory anonymous has no --file"),
    ],
)
def test_a_mistake_gives_one_line_and_status_2(programs: Path, words: str, reason: str) -> None:
    program, *options = words.split()
    done = run(programs / program, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("file", "reason"),
    [("/no/such/file", "/no/such/file: No such file"), ("/etc/passwd", "1024 are needed")],
)
@pytest.mark.parametrize("program", ["footprint", "mappers"])
def test_a_file_that_cannot_be_mapped_is_a_failure(
    programs: Path, program: str, file: str, reason: str
) -> None:
    done = run(programs / program, "--file", file, "--read")
    assert done.returncode == 1
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


@pytest.mark.parametrize(
    ("words", "status", "printed"),
    [
        (["phase", "start"], 0, "phase start\n"),
        (["phase", "start", "1", "2"], 0, "phase start\n"),
        (["value", "time", "ns", "1.5e3"], 0, "value time 1500 ns\n"),
        (["value", "time", "ns", "inf"], 2, "trial: 'inf' is no finite number\n"),
        (["value", "time", "ns", "1x"], 2, "trial: '1x' is no finite number\n"),
        (["value", "a time", "ns", "1"], 2, "trial: 'a time' is no name"),
        (["phase", "start", "0"], 2, "trial: '0' is no process\n"),
        (["phase"], 2, "usage: trial phase NAME [PID ...]\n"),
        (["start"], 2, "usage: trial phase NAME [PID ...]\n"),
        (["--help"], 0, "usage: trial phase NAME [PID ...]\n"),
    ],
)
def test_the_command_trial(programs: Path, words: list[str], status: int, printed: str) -> None:
    done = run(programs / "trial", *words)
    assert done.returncode == status
    assert (done.stdout if status == 0 else done.stderr).startswith(printed)
