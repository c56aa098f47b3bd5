# SPDX-License-Identifier: Apache-2.0
"""What each column of each CSV file means, and in which unit it is.

A test compares them with the columns that are written.
"""

from __future__ import annotations

from collections.abc import Mapping

Columns = Mapping[str, tuple[str, str]]

_RUN = {"run": ("", "name of the run's directory")}
_TRIAL = {"trial": ("", "identity of the trial: its factor levels and its repeat")}
# Where the factors stand among the others; there is one column for each.
FACTORS = "(each factor)"
_FACTORS = {FACTORS: ("as declared", "the trial's level of that factor")}
# Before the columns of an instrument's table (:mod:`driver.results.observations`).
OF_A_TRIAL: Columns = {**_RUN, **_TRIAL, **_FACTORS}

ABOUT: Mapping[str, str] = {
    "trials.csv": "One row for each trial of the plan, in the order in which they were run.",
    "samples.csv": "One row for each number sampled in a trial that finished.",
    "checks.csv": "One row for each assertion: a check or prediction of a trial, a fit of a group.",
    "driver compare --csv": "One row for each metric and combination of factors of two runs.",
}

COLUMNS: Mapping[str, Columns] = {
    "trials.csv": {
        **_RUN,
        **_TRIAL,
        **_FACTORS,
        "sequence": ("", "place in the plan, from 0"),
        "repeat": ("", "round of the plan, from 0"),
        "verdict": (
            "",
            "`ok`, `pending`, `splat`, `lost`, `timeout`, `workload`, or `unreadable`: a sampled "
            "text was not what its source promises",
        ),
        "attempts": ("attempts", "how often it was tried"),
        "faults": (
            "",
            "one word for each fault of the guest's kernel or workload in any of the attempts: the "
            "kind of complaint, such as `oops`, or the verdict of an attempt without one",
        ),
        "host_faults": ("attempts", "how many attempts failed because of the host or QEMU"),
        "message": ("", "what went wrong in the last attempt, in a sentence"),
        "excerpt": ("", "the evidence: the last lines of the console or of the workload"),
    },
    "samples.csv": {
        **_RUN,
        **_TRIAL,
        **_FACTORS,
        "phase": ("", "phase announced by the workload when it was read"),
        "source": ("", "source of counters, or `value` for what the workload counted itself"),
        "metric": ("", "name of the number within its source"),
        "process": ("", "index of the worker it belongs to, from 0; empty for the whole guest"),
        "value": ("column `unit`", "the number"),
        "unit": ("", "its unit"),
    },
    "checks.csv": {
        **_RUN,
        "kind": ("", "`check`, `fit` or `prediction`"),
        "name": ("", "its name in experiment.toml"),
        "subject": ("", "the trial, or the factor levels of a group of trials"),
        "measured": ("column `unit`", "what came out"),
        "expected": ("column `unit`", "what theory says"),
        "allowed": ("column `unit`", "the largest difference allowed"),
        "unit": ("", "the unit of the three"),
        "verdict": ("", "`holds`, `fails` or `no data`"),
    },
    "driver compare --csv": {
        "metric": ("", "name of the metric in experiment.toml"),
        "unit": ("", "its unit"),
        "first": ("column `unit`", "mean of the first run's trials"),
        "second": ("column `unit`", "mean of the second run's trials"),
        "change": ("column `unit`", "the second less the first"),
        "relative": ("1", "the change divided by the first"),
        "low": ("column `unit`", "lower end of the confidence interval of the change"),
        "high": ("column `unit`", "upper end of it"),
        "basis": ("", "`exact`, `single`, `interval` or `few`: what the comparison rests on"),
        "outcome": ("", "`equal`, `changed`, `no change seen`, `undecided` or `no value`"),
        FACTORS: ("as declared", "the level of each factor that both runs have"),
    },
}
