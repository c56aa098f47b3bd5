# SPDX-License-Identifier: Apache-2.0
"""The experiment that a suite is: one trial for each kernel and program.

Each program has a guest of its own, so that one that hangs, or that the kernel does not survive,
takes no other with it. The text of the experiment is what a run keeps, and is resumed from.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

import tomli_w

from driver.experiment.definition import Arm, Kernel, Table
from driver.experiment.load import Definition, parse
from driver.suite.definition import FILE_NAME, Suite, SuiteFolder

KERNEL = "kernel"
PROGRAM = "program"
STATUS = "exit_status"
START, END = "start", "end"

# The program's own status is a value: the trial fails only if the program could not be started, or
# never ended. `before` runs in the same shell, as it may export variables.
_SCRIPT = """\
trial phase {start} || exit
cd {directory} || exit
{before}
"$@"
status=$?
{after}
trial phase {end} || exit
trial value {name} status $status
"""
# Without any `counters` something must be sampled for the phases to count.
_ANY_COUNTER = ("pgfault",)


def experiment_of(found: SuiteFolder, default_series: str) -> Definition:
    """The suite as an experiment.

    ``default_series`` is compared with the unpatched kernel if the suite has no arms of its own.
    """
    content = _content(found, default_series)
    path = found.folder / FILE_NAME
    return parse(found.name, path, tomli_w.dumps(content))


def _content(found: SuiteFolder, default_series: str) -> dict[str, Any]:
    suite = found.suite
    arms = suite.arms or {
        "baseline": Arm(label="no patches", kernel=Kernel(series="none")),
        "patched": Arm(label=default_series, kernel=Kernel(series=default_series)),
    }
    content: dict[str, Any] = {
        "question": f"Does any test of the suite {found.name} do worse with the series?",
        "expected": f"{suite.description} No test does worse than on the first kernel.",
        "image": suite.image,
        "machine": _table(suite.machine),
        "workload": {
            "argv": ["sh", "-c", _script(suite), found.name],
            "timeout": _timeouts(suite),
            "phases": [START, END],
        },
        "sources": {"keep": {"vmstat": list(suite.counters or _ANY_COUNTER)}},
        "factors": {
            KERNEL: {"label": "kernel", "arms": {name: _table(arm) for name, arm in arms.items()}},
            PROGRAM: {
                "label": "program",
                "arms": {
                    name: {"arguments": list(program.argv)}
                    for name, program in suite.programs.items()
                },
            },
        },
    }
    # A program that hangs is a result; what differs is run again, on both kernels.
    content["retry"] = {"attempts": 1}
    content["cases"] = suite.cases.model_dump(mode="json")
    if suite.provision is not None:
        content["provision"] = _table(suite.provision)
    if suite.files:
        content["files"] = {
            guest: str((found.folder / host).resolve()) for guest, host in suite.files.items()
        }
    return content


def _script(suite: Suite) -> str:
    return _SCRIPT.format(
        start=START,
        end=END,
        directory=shlex.quote(suite.directory),
        before="\n".join(suite.before),
        after="\n".join(suite.after),
        name=STATUS,
    )


def _timeouts(suite: Suite) -> str:
    """An expression over the factor: most programs have the suite's timeout."""
    others = [
        f"{program.timeout} if {PROGRAM} == '{name}' else "
        for name, program in suite.programs.items()
        if program.timeout is not None
    ]
    return "".join(others) + str(suite.timeout)


def _table(table: Table) -> Mapping[str, Any]:
    """A table as TOML has it, which knows no null."""
    return table.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
