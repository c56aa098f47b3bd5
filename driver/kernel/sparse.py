# SPDX-License-Identifier: Apache-2.0
"""What sparse says of a series that it did not say of the kernel before it."""

from __future__ import annotations

import re
import shutil
from collections import Counter

from driver.kernel.bisect import Steps
from driver.report import Reporter

PROGRAM = "sparse"
_MESSAGE = re.compile(r"^(\S+?):\d+:\d+: (?:warning|error): (.*)$", re.M)


def present() -> bool:
    """Whether sparse is installed."""
    return shutil.which(PROGRAM) is not None


def news(steps: Steps, reporter: Reporter) -> list[str]:
    """``file: message`` for each complaint about the last patch that the base does not have.

    Line numbers are left out of the comparison: every patch moves them.
    """
    reporter.step("running sparse on the base and on the series")
    said: list[Counter[str]] = []
    for commit in (steps.commits[0], steps.commits[-1]):
        # C=2: every file is checked, whether or not it has to be compiled.
        steps.build(commit, steps.objects, "C=2", f"CHECK={PROGRAM}")
        said.append(Counter(": ".join(found) for found in _MESSAGE.findall(steps.log())))
        reporter.progress(len(said), 2, commit[:12])
    return sorted((said[1] - said[0]).elements())
