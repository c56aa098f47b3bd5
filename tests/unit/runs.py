# SPDX-License-Identifier: Apache-2.0
"""Runs of real experiments on behaving guests, for tests of everything after the guest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from behaving_guest import Factory

from driver.experiment.lifecycle import Conclusion, Prepared, Work, carry_out, new_manifest
from driver.experiment.load import load
from driver.experiment.plan import Selection, guests, make_plan
from driver.report import Reporter, SilentReporter
from driver.results.directory import RunDirectory
from driver.results.manifest import GuestRecord, Options
from driver.validity import Accelerator, Validity

PROJECT = Path(__file__).resolve().parents[2]
FOOTPRINT = "pagetable-footprint"


@dataclass
class Bench:
    """One run in the making: an experiment, its plan, and the factories that fork its guests."""

    results: Path
    only: Mapping[str, list[str]] = field(default_factory=dict)
    repeat: int | None = None
    experiment: str = FOOTPRINT
    validity: Validity = field(default_factory=lambda: Validity(Accelerator.TCG))

    def __post_init__(self) -> None:
        self.definition = load(PROJECT / "experiments", self.experiment)
        selection = Selection(only=self.only, repeat=self.repeat)
        self.plan = make_plan(self.definition.experiment, selection)
        self.factories = {
            request: Factory(patched=request.kernel.series != "none")
            for request in guests(self.plan)
        }

    @property
    def work(self) -> Work:
        return Work(
            self.definition,
            self.plan,
            {
                request: Prepared(
                    factory,
                    GuestRecord(
                        kernel={"series": request.kernel.series, "digest": request.kernel.series},
                        image={"name": request.image, "digest": "feed"},
                        machine=dict(vars(request.machine)),
                        provision=list(request.provision.argv) if request.provision else None,
                        qemu={"version": "none: a behaving guest", "argv": []},
                    ),
                )
                for request, factory in self.factories.items()
            },
        )

    def begin(self, jobs: int = 1) -> RunDirectory:
        directory = RunDirectory.create(self.results, self.experiment)
        options = Options(
            only={name: list(levels) for name, levels in self.only.items()},
            repeat=self.repeat,
            jobs=jobs,
        )
        self.manifest = new_manifest(
            directory, self.work, options=options, validity=self.validity, project=PROJECT
        )
        return directory

    def run(
        self,
        directory: RunDirectory | None = None,
        *,
        jobs: int = 1,
        reporter: Reporter | None = None,
    ) -> Conclusion:
        directory = directory or self.begin(jobs)
        with directory.lock():
            return carry_out(directory, self.manifest, self.work, reporter or SilentReporter())
