# SPDX-License-Identifier: Apache-2.0
"""What a run looks like on disk.

::

    results/<experiment>-<UTC time>/
        manifest.json            everything needed to repeat the run
        trials/<trial>.json      one record per finished trial; its presence is the commit point
        raw/<trial>.jsonl.gz     every sampled text, verbatim, and every value
        console/<trial>.log      what the guest kernel said
        trials.csv               one row per planned trial, failed ones among them
        samples.csv              one row per number, tidy
        checks.csv               one row per assertion: measured and expected
    results/latest               symbolic link to the newest run

The CSV files are derived from the records and can be made again from them at any time.
"""

from __future__ import annotations

from typing import Final

# Of manifest.json; :mod:`driver.results.migration` reads the earlier ones.
SCHEMA_VERSION: Final = 2

# What each column holds is :mod:`driver.results.columns`.
TRIAL_COLUMNS = ("run", "trial", "sequence", "repeat", "verdict", "attempts", "message", "excerpt")
SAMPLE_COLUMNS = ("run", "trial", "phase", "source", "metric", "process", "value", "unit")
CHECK_COLUMNS = (
    "run", "kind", "name", "subject", "measured", "expected", "allowed", "unit", "verdict",
)  # fmt: skip
# A factor becomes a further column, so it must not have one of these names.
RESERVED = frozenset((*TRIAL_COLUMNS, *SAMPLE_COLUMNS, *CHECK_COLUMNS))

OK = "ok"
# The verdict of an attempt that ended well, and not as other rounds of the same exact trial did.
DISTURBED = "disturbed"
