# SPDX-License-Identifier: Apache-2.0
"""experiment.toml: what is accepted, and the one message every mistake gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from driver.errors import UserError
from driver.experiment.load import Definition, available, load, parse

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
FOOTPRINT = (EXPERIMENTS / "pagetable-footprint" / "experiment.toml").read_text(encoding="utf-8")


def read(text: str) -> Definition:
    return parse("footprint", Path("experiment.toml"), text)


def line_of(text: str, part: str) -> int:
    return next(n for n, line in enumerate(text.splitlines(), start=1) if part in line)


@pytest.mark.parametrize("name", available(EXPERIMENTS))
def test_every_experiment_of_the_project_loads(name: str) -> None:
    definition = load(EXPERIMENTS, name)
    assert definition.experiment.question.strip().endswith("?")
    assert definition.experiment.checks


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("image =", "imgae =", "imgae: unknown key 'imgae'", "Did you mean 'image'?"),
        (
            'kernel = { series = "dax-pt-share" }',
            'kernel = { seires = "dax-pt-share" }',
            "factors.kernel.arms.patched.kernel.seires: unknown key 'seires'",
            "Did you mean 'series'? Possible here: base, series, variant.",
        ),
        ('\n[quick.levels]', "\n[quik.levels]", "quik: unknown key", "Did you mean 'quick'?"),
        ("meminfo =", "memifno =", "unknown source 'memifno'", "Did you mean 'meminfo'?"),
        (
            "'touched') - meminfo",
            "'tuched') - meminfo",
            "the workload announces no phase 'tuched'",
            "Did you mean 'touched'?",
        ),
        (
            "meminfo('PageTables', 'gone')",
            "meminfo('PageTable', 'gone')",
            "meminfo keeps no metric 'PageTable'",
            "Did you mean 'PageTables'?",
        ),
        ('"{{ gib }}"', '"{{ gibs }}"', "unknown name 'gibs'", "Did you mean 'gib'?"),
        ("sharing == 'on' else p", "shering == 'on' else p", "unknown name 'shering'", "sharing"),
        (
            "processes = [1, 4]",
            "processes = [1, 5]",
            "the factor processes has no level '5'",
            "Possible here: 1, 2, 4",
        ),
        ("processes = [1, 4]", "proceses = [1]", "unknown factor 'proceses'", "'processes'?"),
        ('sharing = ["on"]', 'sharing = ["onn"]', "has no level 'onn'", "'on'?"),
        (
            'columns = "processes"',
            'columns = "process"',
            "unknown factor 'process'",
            "'processes'?",
        ),
        ('metric = "growth"', 'metric = "grow"', "unknown metric 'grow'", "'growth'?"),
        ('expected = "growth"', 'expected = "growth +"', "unexpected 'end of expression'", None),
        ('unit = "GiB"', "unit = 3", "factors.gib.unit: it should be text", "experiment.md"),
        ("values = [1, 2, 4, 8]", "values = 1", "factors.gib.values: it should be a list", None),
        (
            '{ series = "dax-pt-share" }',
            '"dax-pt-share"',
            "arms.patched.kernel: it should be a table",
            None,
        ),
        ("values = [1, 2, 4, 8]", "values = []", "needs either values or arms", None),
        ("values = [1, 2, 4, 8]", 'values = ["a_b"]', "'a_b' cannot be a level", None),
        ("[factors.gib]", "[factors.value]", "the name 'value' of a factor is reserved", None),
    ],
)  # fmt: skip
def test_a_mistake_gets_one_message(old: str, new: str, message: str, hint: str | None) -> None:
    assert FOOTPRINT.count(old) >= 1, "the experiment changed; so must this test"
    text = FOOTPRINT.replace(old, new, 1)
    with pytest.raises(UserError) as caught:
        read(text)
    assert message in caught.value.message
    assert caught.value.message.count("\n") == 0
    assert caught.value.hint
    assert hint is None or hint in caught.value.hint


def test_the_message_names_the_line() -> None:
    text = FOOTPRINT.replace("nvdimm_mib =", "nvdim_mib =")
    with pytest.raises(UserError) as caught:
        read(text)
    line = line_of(text, "nvdim_mib")
    assert caught.value.message.startswith(f"experiment.toml:{line}: machine.nvdim_mib: ")


def test_a_missing_key_is_named_with_its_table() -> None:
    text = FOOTPRINT.replace('image = "dax"\n', "")
    with pytest.raises(UserError, match="the key 'image' is missing"):
        read(text)


def test_a_syntax_error_keeps_its_position() -> None:
    with pytest.raises(UserError, match=r"experiment.toml is not valid TOML: .*line 2"):
        read('image = "dax"\nquestion = why\n')


def test_a_name_nobody_has_suggests_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        load(EXPERIMENTS, "pagetable-fotprint")
    assert "Did you mean 'pagetable-footprint'?" in (caught.value.hint or "")


def test_an_expression_cannot_reach_python() -> None:
    text = FOOTPRINT.replace("timeout = 180", 'timeout = "().__class__.__mro__|length"')
    definition = read(text)
    from driver.experiment import expression

    assert definition.experiment.provision is not None
    with pytest.raises(expression.ExpressionError):
        expression.number(definition.experiment.provision.timeout, {})


def test_summary_tables_may_have_the_name_they_had() -> None:
    old = FOOTPRINT.replace("[[summary_tables]]", "[[overviews]]")
    assert old != FOOTPRINT
    tables = read(old).experiment.summary_tables
    assert tables
    assert tables == read(FOOTPRINT).experiment.summary_tables


def test_a_mistake_in_a_summary_table_names_its_line() -> None:
    text = FOOTPRINT.replace('columns = "processes"', 'colums = "processes"')
    with pytest.raises(UserError) as caught:
        read(text)
    line = line_of(text, "colums")
    assert caught.value.message == (
        f"experiment.toml:{line}: summary_tables.0.colums: unknown key 'colums'"
    )
    assert "Did you mean 'columns'?" in (caught.value.hint or "")
