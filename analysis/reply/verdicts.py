# SPDX-License-Identifier: Apache-2.0
"""What was predicted before the runs, and the outcome."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from analysis.load import ROOT
from driver.results.reader import Run
from driver.results.repeat import repeat_command
from driver.results.verdict import HOLDS, of_prediction


@dataclass(frozen=True)
class PredictionVerdict:
    """One prediction: its claim, whether it holds, on how many subjects, and the finding."""

    experiment: str
    claim: str
    verdict: str
    held: int
    asked: int
    finding: str


def verdicts(run: Run) -> list[PredictionVerdict]:
    """The predictions of a run's own experiment text, judged by the run's checks.

    Refuted by one counter-example, confirmed if all that could be asked hold, else undecided. What
    was found is written after the run, so that it is looked up in the experiment as it is now.
    """
    text = tomllib.loads(run.manifest.experiment.text)
    now = ROOT / "experiments" / run.manifest.experiment.name / "experiment.toml"
    later = tomllib.loads(now.read_text(encoding="utf-8")).get("predictions", [])
    findings = {(p["name"], p["claim"]): p.get("finding", "") for p in later}
    rows = run.checks[run.checks["kind"] == "prediction"]
    found = []
    for prediction in text.get("predictions", []):
        asked = list(rows[rows["name"] == prediction["name"]]["verdict"])
        finding = findings.get((prediction["name"], prediction["claim"]), "")
        found.append(
            PredictionVerdict(
                experiment=run.manifest.experiment.name,
                claim=prediction["claim"],
                verdict=of_prediction(asked),
                held=asked.count(HOLDS),
                asked=len(asked),
                finding=" ".join(finding.split()),
            )
        )
    return found


def command(run: Run) -> str:
    """What to type to repeat a run from a clean clone."""
    # What `auto` chooses is up to the host; what is counted is the same under either choice.
    return repeat_command(run.manifest, pinned=False)
