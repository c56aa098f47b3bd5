# SPDX-License-Identifier: Apache-2.0
"""Runs that no kernel made: of numbers that a test chooses, or of real experiments on fake guests.

Both are written the way the driver writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

from driver.compare.comparison import Comparison, compare_runs
from driver.experiment.bases import across
from driver.experiment.conclusion import Conclusion, read_conclusion
from driver.experiment.lifecycle import carry_out
from driver.experiment.load import load, parse
from driver.experiment.plan import GuestRequest, Selection, guests, make_plan
from driver.experiment.run_manifest import new_manifest
from driver.experiment.work import Prepared, Work
from driver.guest.job import JobResult, Value
from driver.progress import Reporter, SilentReporter
from driver.results.directory import RunDirectory
from driver.results.guest_record import (
    GuestRecord,
    ImageRecord,
    KernelRecord,
    MachineRecord,
    QemuRecord,
)
from driver.results.manifest import (
    ExperimentText,
    Host,
    Manifest,
    Options,
    PlannedTrial,
    ProjectState,
    write_manifest,
)
from driver.results.record import Attempt, TrialRecord, write_record
from driver.results.schema import OK
from driver.results.writer import write_tables
from driver.validity import Accelerator, Validity
from helpers.fake_guest import Factory

EXPERIMENT = """
question = "What does a fault cost?"
expected = "Less."
image = "dax"

[machine]
memory_mib = 512
nvdimm_mib = 512

[workload]
argv = ["work", "--size", "{{ size }}"]
phases = ["done"]

[sources.keep]

[factors.kernel.arms.old]
kernel = { series = "none" }
[factors.kernel.arms.new]
kernel = { series = "dax-pt-share" }

[factors.size]
values = [1, 2, 4]

[metrics.theory]
value = "size * 10"
unit = "pages"

[metrics.pages]
value = "value('pages', 'done')"
unit = "pages"
label = "pages it took"

[metrics.cost]
value = "value('cost', 'done')"
unit = "ns"

[[checks]]
name = "pages_right"
claim = "It takes ten pages each."
measured = "pages"
expected = "theory"
unit = "pages"

[[fits]]
name = "per_size"
claim = "What one more costs."
measured = "pages"
against = "size"
by = ["kernel"]
expected = "10"
unit = "pages"
"""

# Values of one trial by name; a string is the verdict of a trial that failed.
Outcome = Mapping[str, float] | str
TRACE = "[    1.000000] Call Trace:\n[    1.000001]  do_fault+0x12/0x34\n"


def guest_record(request: GuestRequest, validity: Validity, *, kernel_digest: str) -> GuestRecord:
    """What a manifest says of a guest that nobody has built."""
    exact = validity.accelerator is Accelerator.ICOUNT
    return GuestRecord(
        kernel=KernelRecord(
            series=request.kernel.series,
            variant=request.kernel.variant,
            digest=kernel_digest,
            release="6.12.1",
            provenance=None,
        ),
        image=ImageRecord(name=request.image, digest="feed", provenance=None),
        machine=MachineRecord.model_validate(
            {**asdict(request.machine.machine("tcg")), "accel": validity.accelerator.value}
        ),
        provision=list(request.provision.argv) if request.provision else None,
        qemu=QemuRecord(
            version="QEMU 7.2",
            argv=["qemu"],
            template="feed",
            template_digests={"console.log": "feed"} if exact else {},
        ),
    )


@dataclass
class SyntheticRun:
    """A run in which each combination of levels gave these outcomes, one per repeat."""

    folder: Path
    outcomes: Mapping[tuple[str, int], Sequence[Outcome]]
    text: str = EXPERIMENT
    validity: Validity = field(default_factory=lambda: Validity(Accelerator.TCG))
    name: str = "made"
    cpu: str = "a processor"
    kernel_digest: str = "feed"
    status: str = "complete"
    unit: str = "ns"

    def write(self) -> RunDirectory:
        """Put the run on disk; it need not survive a loss of power."""
        with patch("os.fsync"):
            return self._write()

    def _write(self) -> RunDirectory:
        run = RunDirectory(self.folder)
        for folder in (run.path, run.trials, run.raw, run.consoles):
            folder.mkdir(parents=True)
        definition = parse(self.name, run.manifest, self.text)
        repeats = max(map(len, self.outcomes.values()))
        chosen = Selection(
            only={
                "kernel": sorted({kernel for kernel, _ in self.outcomes}),
                "size": sorted({str(size) for _, size in self.outcomes}),
            },
            repeat=repeats,
        )
        plan = [
            trial
            for trial in make_plan(definition.experiment, chosen)
            if (str(trial.factors["kernel"]), int(trial.factors["size"])) in self.outcomes
        ]
        manifest = Manifest(
            run=run.name,
            status=self.status,  # type: ignore[arg-type]
            started="2026-01-02T03:04:05Z",
            finished="2026-01-02T03:05:05Z",
            experiment=ExperimentText(
                name=self.name, digest=definition.digest, text=definition.text
            ),
            options=Options(repeat=repeats),
            accelerator=self.validity.accelerator,
            accelerator_reason="asked for",
            icount_shift=self.validity.icount_shift,
            valid=self.validity.describe(),
            factors=list(definition.experiment.factors),
            keep={},
            guests=[
                guest_record(request, self.validity, kernel_digest=self.kernel_digest)
                for request in guests(plan)
            ],
            host=Host(
                system="Debian", kernel="6.1", cpu=self.cpu, cpus=2, memory_mib=1, python="3.11"
            ),
            project=ProjectState(driver="0.1.0", commit="c0ffee", modified=False),
            plan=[
                PlannedTrial(
                    id=trial.id,
                    sequence=trial.sequence,
                    repeat=trial.repeat,
                    factors=dict(trial.factors),
                )
                for trial in plan
            ],
        )
        write_manifest(run, manifest)
        for trial in plan:
            outcome = self.outcomes[(str(trial.factors["kernel"]), int(trial.factors["size"]))]
            self._record(run, trial.id, dict(trial.factors), trial.repeat, outcome[trial.repeat])
        write_tables(run, manifest)
        return run

    def read(self) -> Conclusion:
        """Put it on disk and read it back."""
        self.write()
        return self.reread()

    def reread(self) -> Conclusion:
        """Read it as it is on disk now."""
        return read_conclusion(RunDirectory(self.folder))

    def _record(
        self,
        run: RunDirectory,
        trial: str,
        factors: dict[str, bool | int | float | str],
        repeat: int,
        outcome: Outcome,
    ) -> None:
        failed = isinstance(outcome, str)
        attempt = Attempt(
            verdict=outcome if isinstance(outcome, str) else OK,
            exit_status=4 if failed else 0,
            message="the kernel complained" if failed else "",
            excerpt=TRACE if failed else "",
            host_seconds=0.5,
        )
        record = TrialRecord(
            id=trial, sequence=0, repeat=repeat, factors=factors, argv=["work"], attempts=[attempt]
        )
        result = None
        if not isinstance(outcome, str):
            values = [
                Value("done", name, self.unit if name == "cost" else "pages", float(value))
                for name, value in outcome.items()
            ]
            result = JobResult(status=0, values=values)
        write_record(run, record, result, f"[    0.1] Linux version\n{TRACE if failed else ''}")


def pages(*counts: float) -> list[Outcome]:
    """Repeats that took so many pages."""
    return [{"pages": count} for count in counts]


def costs(*times: float) -> list[Outcome]:
    """Repeats that took ten pages and so much time, in nanoseconds."""
    return [{"pages": 10, "cost": time} for time in times]


Outcomes = dict[tuple[str, int], list[Outcome]]
# Ten pages for each one of size, in both arms.
LINE: Outcomes = {
    (kernel, size): pages(10 * size) for kernel in ("old", "new") for size in (1, 2, 4)
}


def compared(
    folder: Path, first: SyntheticRun | Outcomes, second: SyntheticRun | Outcomes
) -> Comparison:
    """The comparison of two runs, or of runs that had these outcomes."""
    a, b = (
        item if isinstance(item, SyntheticRun) else SyntheticRun(folder / name, item)
        for name, item in (("a", first), ("b", second))
    )
    return compare_runs(a.read(), b.read())


PROJECT = Path(__file__).resolve().parents[2]
FOOTPRINT = "pagetable-footprint"


@dataclass
class FakeGuestRun:
    """One run in the making: an experiment, its plan, and the factories that fork its guests."""

    results: Path
    only: Mapping[str, list[str]] = field(default_factory=dict)
    repeat: int | None = None
    experiment: str = FOOTPRINT
    validity: Validity = field(default_factory=lambda: Validity(Accelerator.TCG))
    digest_nvdimm: bool = False
    bases: Sequence[str] = ()

    def __post_init__(self) -> None:
        written = load(PROJECT / "experiments", self.experiment)
        self.definition = replace(written, experiment=across(written.experiment, self.bases))
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
                    guest_record(request, self.validity, kernel_digest=request.kernel.series),
                )
                for request, factory in self.factories.items()
            },
        )

    def begin(self, jobs: int = 1) -> RunDirectory:
        directory = RunDirectory.create(self.results, self.experiment)
        options = Options(
            only={name: list(levels) for name, levels in self.only.items()},
            repeat=self.repeat,
            bases=list(self.bases),
            jobs=jobs,
            digest_nvdimm=self.digest_nvdimm,
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
