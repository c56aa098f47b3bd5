# SPDX-License-Identifier: Apache-2.0
"""What the documentation tells a person to type is what the driver understands.

Fenced blocks say how they are tested, in the words behind their language:

``sh``                 every line is parsed: ``driver`` lines by the driver's own commands, others
                       must begin with a program that is known to be meant
``sh unit``            also run here, in a project without kernels and images
``sh mistake``         made by ``test_mistakes.py``
``sh guest``           also run by ``tests/guest/test_docs.py``, one page from top to bottom
``text out``           what the block before it must have printed, line by line
``toml file=...``      written to that file, and read back by the code that reads such files
``python unit``        also run here; those for driver.api without it by ``tests/guest/test_api.py``
``diff guest tree=..`` applied to a kernel tree by the guest test
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path
from string import Template
from typing import Any

import pytest
import typer
import yaml
from helpers.documentation import ROOT, Block, blocks, documents

from driver import api, reference
from driver.cli.main import command, main
from driver.compare.export import COLUMNS as COMPARE_COLUMNS
from driver.counters.source import CounterSource
from driver.experiment.load import parse
from driver.image.recipe import Recipe
from driver.results import columns, schema
from driver.suite.definition import load
from driver.suite.experiment import experiment_of

# Programs that the pages may ask for besides the driver.
KNOWN = {
    ".", "./setup.sh", "b4", "cat", "cd", "cp", "echo", "export", "git", "head", "ls", "make",
    "pip", "python", "sudo", "uv", "zcat",
}  # fmt: skip
_ASSIGNMENT = re.compile(r"\w+=(\S*|\$\(.*\))")


def shell_lines(block: Block) -> Iterator[list[str]]:
    """The simple commands of a block, as words."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        substituted = re.sub(r"^(\w+)=\$\(.*\)$", "", line)
        lexer = shlex.shlex(substituted, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set(";|&()"):
                if words:
                    yield words
                words = []
            else:
                words.append(word)


def all_blocks(language: str) -> list[Block]:
    return [block for page in documents() for block in blocks(page) if block.language == language]


# Lines that are not run from their page: a test that does something similar, or why none can.
ELSEWHERE = {
    "git clone https://example.org/dax-pagetables.git": "the address is the reader's",
    "cd dax-pagetables": "the address is the reader's",
    "make setup": "installs packages; the tests need it done before",
    "make test": "runs the tests, this one included",
    "make experiment": "tests/guest/test_main_job.py::test_the_quick_plan_holds",
    "make experiments-all": (
        "tests/guest/test_costs.py::test_the_quick_plan_of_an_experiment_holds"
    ),
    "python -m analysis.render results/latest": (
        "tests/unit/test_analysis.py::test_rendering_writes_pictures_and_the_answers"
    ),
    "python tests/guest/benchmark.py": "it measures for minutes, and asserts nothing",
    "python -m analysis.sample results/latest": (
        "tests/unit/test_samples.py"
        "::test_a_sample_is_the_tables_of_a_run_and_takes_the_place_of_the_last"
    ),
    "driver build --source ~/linux": (
        "tests/unit/kernel/test_kernel_build.py::test_is_built_as_it_stands_and_not_touched"
    ),
    "pip install dax-pagetable-driver[cluster]": "installs packages; the tests need it done before",
    "driver run experiment pagetable-footprint --quick --cluster local:2": (
        "tests/guest/test_cluster.py::test_two_hosts_give_the_bytes_of_one"
    ),
    **dict.fromkeys(
        (
            "driver cluster keys ~/cluster-keys",
            "driver cluster scheduler --keys ~/cluster-keys",
            "driver worker tls://one:8786",
            "driver run experiment pagetable-footprint --cluster tls://one:8786",
            "driver run --resume latest --cluster tls://one:8786",
        ),
        "tests/cluster/test_page.py::test_three_machines_as_the_page_says",
    ),
    "driver list kernels": ("tests/unit/test_run_command.py::test_the_kernels_that_can_be_had"),
    "driver build kernel --base 7.3 --series none": (
        "tests/unit/kernel/test_kernel_series.py::test_one_can_be_chosen"
    ),
    "driver build kernel --source debian:6.12=6.12.117-1": (
        "tests/unit/kernel/test_debian_archive.py::test_a_version_can_be_named"
    ),
    "driver run experiment pagetable-footprint --base 6.12,7.3 --only kernel=baseline": (
        "tests/unit/test_bases.py::test_several_are_compared_side_by_side"
    ),
    "driver run experiment five-cases --source ~/linux --unpatched-source ~/linux-base": (
        "tests/unit/test_bases.py::test_a_tree_chooses_for_both_arms"
    ),
    **dict.fromkeys(
        (
            "driver build image --image postgres",
            "driver shell --image postgres -- psql --version",
            "driver shell --rootfs ~/my-debian -- cat /etc/os-release",
        ),
        "tests/guest/test_system_image.py::test_packages_are_installed_by_their_scripts",
    ),
    "driver show latest --json": (
        "tests/unit/test_run_export.py::test_json_has_what_the_tables_have"
    ),
    "driver run experiment five-cases --quick --junit results.xml": (
        "tests/unit/test_run_export.py::test_junit_has_each_trial_check_and_prediction"
    ),
    "driver build kernel --variant debug": ("tests/unit/kernel/test_kernel_build.py::test_variant"),
    "driver build kernel --variant debug-info": (
        "tests/unit/kernel/test_kernel_build.py::test_debug_information_is_kept_beside_not_inside"
    ),
    "driver patch export linux": (
        "tests/guest/test_series.py::test_what_is_committed_is_what_an_export_writes"
    ),
    "driver patch check": "tests/unit/kernel/test_kernel_review.py::test_a_good_series",
    "driver patch check --series dax-pt-share": (
        "tests/unit/kernel/test_kernel_review.py::test_a_patch_that_needs_a_later_one_is_found"
    ),
    "driver run experiment pagetable-footprint --only entry=4K --dry-run": (
        "tests/unit/test_run_command.py::test_a_dry_run_prints_the_plan_and_touches_nothing"
    ),
    "driver run experiment five-cases --only sharing=on --keep-guest": (
        "tests/guest/test_debugging.py::test_a_failed_guest_is_kept_for_a_person"
    ),
    "driver run experiment five-cases --accel kvm": "needs a host whose KVM works",
    "sudo usermod -aG kvm $USER": "changes the host",
    "driver compare $counted latest --functions --csv": (
        "tests/unit/test_instruments.py::test_what_changed_by_function"
    ),
    **dict.fromkeys(
        (
            "driver run experiment five-cases --quick --only kernel=patched --instrument coverage",
            "driver coverage latest --missed",
            "driver coverage latest --least 55",
        ),
        "tests/guest/test_coverage.py::test_the_five_cases_execute_more_than_half",
    ),
    "driver suite run dax-semantics --only kernel=on --instrument coverage": (
        "tests/guest/test_coverage.py::test_the_semantic_tests_execute_most_of_it"
    ),
    "driver --qemu ~/qemu-10/bin/qemu-system-x86_64 run experiment walk-cost --quick": (
        "tests/guest/test_page_walks.py::test_the_model_follows_a_guest"
    ),
    "pip install dax-pagetable-driver[drgn]": "installs packages; the tests need it done before",
    **dict.fromkeys(
        (
            "driver run experiment five-cases --only sharing=on --dump",
            "driver debug latest patched_on_shared_2M",
            "driver inspect latest patched_on_shared_2M --dump",
        ),
        "tests/guest/test_inspection.py::test_a_crashed_guest_is_dumped_and_opened",
    ),
    "driver run experiment repeatability": (
        "tests/guest/test_deterministic.py::test_two_runs_agree_to_the_byte"
    ),
    "driver repeatability latest": (
        "tests/guest/test_deterministic.py::test_two_runs_agree_to_the_byte"
    ),
    "driver suite run": "tests/guest/test_suite.py::test_a_suite_of_ones_own",
    "driver suite show latest": "tests/guest/test_suite.py::test_a_suite_of_ones_own",
    "driver shell": "tests/guest/test_shell.py::test_a_shell_over_ssh",
    "driver shell --series dax-pt-share --variant debug --console": (
        "tests/guest/test_shell.py::test_a_shell_on_the_console"
    ),
    "driver shell --variant debug-info --gdb": (
        "tests/guest/test_debugging.py::test_a_debugger_finds_the_kernel_its_vmlinux_describes"
    ),
    "driver --install-completion": (
        "tests/unit/test_settings.py::test_a_shell_that_asks_for_it_gets_it"
    ),
    "driver run experiment disabled-cost --unpatched-source ~/linux": (
        "tests/unit/test_bases.py::test_a_tree_chooses_for_both_arms"
    ),
    "export DRIVER_PROJECT=~/dax-pagetables": "the address is the reader's",
    "git bisect": "tests/unit/test_api.py::test_tells_good_from_bad",
    "b4 am": "fetches from the list's archive",
    "b4 prep": "the tree is the reader's",
    "b4 send": "sends mails",
    "driver patch import": ("tests/unit/kernel/test_patch_import.py::test_becomes_a_series"),
    "driver patch checkout linux --series smaps-page-tables": (
        "tests/unit/kernel/test_kernel_checkout.py::test_is_the_series_as_commits_on_the_base"
    ),
    "git -C linux config b4.prep-cover-strategy branch-description": "see b4 prep",
    "git -C linux branch upstream base": "see b4 prep",
    "cd linux": "the tree is the reader's",
    "driver patch check --series smaps-page-tables": (
        "tests/unit/kernel/test_kernel_review.py::test_a_good_series"
    ),
    "uv pip compile": "asks the package index for what is new",
}
RUN_HERE = {"guest", "unit", "mistake"}
# Scripts that take arguments, and are run with some by tests/unit/test_api.py.
TESTED_BY_FILE = {"bisect-step.py"}


SHELL = [block for block in all_blocks("sh") if "mistake" not in block.words]


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The driver's commands, each of which does nothing but understand its arguments."""
    tree = [command()]
    for each in tree:
        tree += getattr(each, "commands", {}).values()
        monkeypatch.setattr(each, "callback", None)
        for parameter in each.params:
            if parameter.callback:  # such as --version, which act while they are parsed
                monkeypatch.setattr(parameter, "callback", leave)
    return command()


def leave(context: typer.Context, _parameter: object, value: object) -> None:
    if value:
        context.exit()


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_what_is_typed_is_understood(block: Block, parse_only: Any) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for line in shell_lines(block):
        words = list(dropwhile(_ASSIGNMENT.fullmatch, line))
        if not words:
            continue
        program, *arguments = words
        if Path(program).name == "driver":
            try:
                parse_only(args=arguments, prog_name="driver", standalone_mode=False)
            except typer.TyperException as error:
                pytest.fail(f"{block}: {shlex.join(words)}: {error.format_message()}")
        else:
            assert program in KNOWN, f"{block}: {program}"
        if program == "make":
            assert set(arguments) <= targets, f"{block}: {arguments}"


# What stands for something else in a command that a sentence quotes.
_ELIDED = re.compile(r"\.\.\.|\bNAME=|\u2026")


def quoted() -> list[tuple[str, str]]:
    """Every command of the driver that a sentence quotes, and the page."""
    found = []
    for page in documents():
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
        for text in re.findall(r"`(driver [^`]+)`", prose):
            if not _ELIDED.search(text):
                found.append((str(page.relative_to(ROOT)), " ".join(text.split())))
    return found


@pytest.mark.parametrize(("page", "text"), quoted())
def test_what_a_sentence_quotes_is_understood(page: str, text: str, parse_only: Any) -> None:
    words = shlex.split(text)[1:]
    named = parse_only
    while words and words[0] in getattr(named, "commands", {}):
        named = named.commands[words.pop(0)]
    if words:  # more than the name of a command
        parse_only(args=shlex.split(text)[1:], prog_name="driver", standalone_mode=False)


def command_of(line: list[str]) -> str:
    """A simple command as people compare them, however the program is found."""
    words = list(dropwhile(_ASSIGNMENT.fullmatch, line))
    return " ".join([Path(words[0]).name, *words[1:]]) if words else ""


def test_every_line_is_run_by_some_test() -> None:
    run: set[str] = set()
    shown: set[str] = set()
    for block in all_blocks("sh"):
        lines = {command_of(line) for line in shell_lines(block)}
        (run if RUN_HERE & set(block.words) else shown).update(lines)
    left = shown - run - {""}
    known = {
        line for line in left for elsewhere in ELSEWHERE if f"{line} ".startswith(f"{elsewhere} ")
    }
    assert left - known == set(), "run it, or say in ELSEWHERE where it is run"
    assert {
        known for known in ELSEWHERE if not any(line.startswith(known) for line in left)
    } == set()


@pytest.mark.parametrize("elsewhere", sorted(ELSEWHERE.values()))
def test_what_is_run_elsewhere_is_there(elsewhere: str) -> None:
    path, _, name = elsewhere.partition("::")
    if name:
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", documents(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, heading = target.partition("#")
        if path.startswith(("http:", "https:")):
            continue
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", there.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w -]", "", text.lower()).replace(" ", "-") for text in headings}
            assert heading in slugs, target


@pytest.mark.parametrize("block", [block for block in SHELL if "unit" in block.words], ids=str)
def test_cheap_commands_do_what_the_page_says(
    block: Block,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("DRIVER_CONFIG", "")
    monkeypatch.setenv("DRIVER_CACHE", str(tmp_path))
    for line in shell_lines(block):
        words = list(dropwhile(_ASSIGNMENT.fullmatch, line))
        for assignment in line[: len(line) - len(words)]:
            monkeypatch.setenv(*assignment.split("=", 1))
        assert words.pop(0) == "driver"
        with pytest.raises(SystemExit) as left:
            main(words)
        assert left.value.code == 0
    printed = capsys.readouterr().out
    for expected in block.output:
        assert expected in printed


@pytest.mark.parametrize(
    "block", [block for block in all_blocks("toml") if block.file], ids=lambda block: block.file
)
def test_files_are_what_they_should_be(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / Path(block.file).name
    path.write_text(block.text, encoding="utf-8")
    if path.name == "experiment.toml":
        parse("example", path, block.text)
    elif path.name == "recipe.toml":
        import tomllib

        Recipe.model_validate(tomllib.loads(block.text))
    elif path.name == "suite.toml":
        (tmp_path / "built").mkdir()
        experiment_of(load(tmp_path, str(tmp_path)), "dax-pt-share")
    else:
        from driver.cli import settings

        monkeypatch.setenv("DRIVER_CONFIG", str(path))
        for variable in settings.ENVIRONMENT.values():
            monkeypatch.setenv(variable, "elsewhere")
        assert settings.load(command())["run"]["experiment"] == {"accel": "tcg"}


PYTHON = [block for block in all_blocks("python") if "from driver import api" in block.text]


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_of_the_api_asks_for_what_is_there(block: Block) -> None:
    used = set(re.findall(r"\bapi\.(\w+)", block.text))
    assert used
    assert used <= set(dir(api))
    compile(block.text, str(block), "exec")
    assert {"guest", "unit"} & set(block.words) or block.file in TESTED_BY_FILE


@pytest.mark.parametrize("block", [block for block in PYTHON if "unit" in block.words], ids=str)
def test_python_prints_what_the_page_says(block: Block) -> None:
    done = subprocess.run(
        [sys.executable, "-c", block.text], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == list(block.output)


def test_the_example_of_a_counter_is_one() -> None:
    (block,) = [block for block in all_blocks("python") if "SOURCE" in block.text]
    module: dict[str, Any] = {}
    exec(block.text, module)
    source = module["SOURCE"]
    assert isinstance(source, CounterSource)
    assert source.parse("0.00 0.01 0.05 1/79 1234\n")[0].value == 79


def test_the_reference_is_what_the_code_says() -> None:
    folder = ROOT / "docs/reference"
    made = reference.pages()
    assert {path.name for path in folder.iterdir()} == set(made)
    for name, text in made.items():
        assert (folder / name).read_text(encoding="utf-8") == text, f"{name}: run `make docs`"


def test_every_column_is_described() -> None:
    written = {
        "trials.csv": schema.TRIAL_COLUMNS,
        "samples.csv": schema.SAMPLE_COLUMNS,
        "checks.csv": schema.CHECK_COLUMNS,
        "driver compare --csv": COMPARE_COLUMNS,
    }
    described = {
        name: tuple(column for column in table if column != columns.FACTORS)
        for name, table in columns.COLUMNS.items()
    }
    assert described == written
    assert columns.ABOUT.keys() == written.keys()


def test_the_job_for_ci_is_understood(parse_only: Any) -> None:
    """As far as can be known without that CI: it is YAML, and its commands are the driver's."""
    (block,) = [block for block in all_blocks("yaml") if block.file == ".gitlab-ci.yml"]
    (job,) = yaml.safe_load(block.text).values()
    variables = job["variables"]
    commands = [shlex.split(Template(line).safe_substitute(variables)) for line in job["script"]]
    driver = [words[1:] for words in commands if words[0] == "driver"]
    assert [words[0] for words in driver] == ["run", "run", "compare"]
    for words in driver:
        parse_only(args=words, prog_name="driver", standalone_mode=False)
    lines = "\n".join([*job["before_script"], *job["script"]])
    done = subprocess.run(["bash", "-n"], input=lines, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
