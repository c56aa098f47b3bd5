# SPDX-License-Identifier: Apache-2.0
"""What a run looks like on disk.

::

    results/<experiment>-<UTC time>/
        manifest.json            everything needed to repeat the run
        trials/<trial>.json      one record per trial with all its attempts; its presence is the
                                 commit point, and it grows with each attempt
        raw/<trial>.jsonl.gz     every sampled text, verbatim, and every value
        console/<trial>.log      what the guest kernel said in the last attempt
        console/<trial>.attempt-<n>.log  the same of an earlier attempt, from 1
        console/boot-<digest>.log  what it had said before these guests were forked
        console/<trial>.log      what the guest kernel said
        observations/            tables of each trial, if instruments watched it
        trials.csv               one row per planned trial, failed ones among them
        samples.csv              one row per number, tidy
        checks.csv               one row per assertion: measured and expected
        cluster.jsonl            which host of a cluster had which trial when
        superseded/              outcomes of hosts that came too late to count
        functions.csv, ...       what instruments saw, one file per table
    results/latest               symbolic link to the newest run

The CSV files are derived from the records and can be made again from them at any time.
"""

from __future__ import annotations

from typing import Final

# Of manifest.json; :mod:`driver.results.migration` reads the earlier ones.
SCHEMA_VERSION: Final = 2

# What each column holds is :mod:`driver.results.columns`.
TRIAL_COLUMNS = (
    "run", "trial", "sequence", "repeat", "verdict", "attempts", "faults", "host_faults", "message",
    "excerpt",
)  # fmt: skip
# Columns that runs of earlier versions do not have.
ADDED_TRIAL_COLUMNS = frozenset({"faults", "host_faults"})
SAMPLE_COLUMNS = ("run", "trial", "phase", "source", "metric", "process", "value", "unit")
CHECK_COLUMNS = (
    "run", "kind", "name", "subject", "measured", "expected", "allowed", "unit", "verdict",
)  # fmt: skip
# A factor becomes a further column, so it must not have one of these names.
RESERVED = frozenset((*TRIAL_COLUMNS, *SAMPLE_COLUMNS, *CHECK_COLUMNS))

OK = "ok"
# In place of a verdict: the trial has not been tried.
PENDING = "pending"
# The verdict of an attempt that ended well, and not as other rounds of the same exact trial did.
DISTURBED = "disturbed"
