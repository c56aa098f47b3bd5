# SPDX-License-Identifier: Apache-2.0
"""Dumps of guests whose kernels have complained, and what opens them."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from driver.api.decoding import DEBUG_INFO, kernel_of
from driver.api.keep import FailedGuest, keeping
from driver.api.runs import AnyRun, read_run
from driver.api.workspace import Workspace, default
from driver.deadline import Deadline
from driver.errors import DriverError, GuestSplat, GuestTimeout, UserError
from driver.experiment.conclusion import Conclusion
from driver.experiment.work import Work
from driver.progress import Reporter
from driver.results.directory import RunDirectory
from driver.results.record import TrialRecord, read_record

# Seconds for a dump: some 10 s per GiB of memory that is in use, on a busy host.
_DUMP_SECONDS = 300.0


def dumping(work: Work, run: RunDirectory, reporter: Reporter) -> Work:
    """The same work, the memory of guests that complained or hung dumped into the run."""
    return keeping(work, lambda failed: dump_failed(failed, run, reporter), sockets=False)


def dump_failed(failed: FailedGuest, run: RunDirectory, reporter: Reporter) -> None:
    """Dump a guest whose kernel complained, or that hung; if that fails, say so and go on."""
    if failed.guest is None or not isinstance(failed.error, GuestSplat | GuestTimeout):
        return
    before = read_record(run, failed.trial)
    path = run.dump(failed.trial, len(before.attempts) + 1 if before else 1)
    try:
        path.parent.mkdir(exist_ok=True)
        failed.guest.dump_memory(path, Deadline.after(_DUMP_SECONDS, "dumping the guest"))
    except (DriverError, OSError) as error:
        reporter.note(f"{failed.trial}: its guest was not dumped: {error}")
    else:
        reporter.note(f"{failed.trial}: dumped; see `driver debug {run.name} {failed.trial}`")


@dataclass(frozen=True)
class Dump:
    """The dump of an attempt at a trial, of a guest with so much RAM, and its kernel's vmlinux."""

    path: Path
    vmlinux: Path
    release: str
    vmcoreinfo: Path
    memory_mib: int

    def command(self, debugger: str | None = None) -> list[str]:
        """What opens it: drgn or crash, by default the first of them that is installed.

        Raises :class:`UserError` if there is none.
        """
        known = {
            "drgn": [sys.executable, "-m", "drgn", "--core", self.path, "--architecture",
                     "x86_64", "--vmcoreinfo", self.vmcoreinfo, "--symbols", self.vmlinux],
            "crash": ["crash", self.vmlinux, self.path],
        }  # fmt: skip
        there = {"drgn": _has_drgn(), "crash": shutil.which("crash") is not None}
        wanted = debugger or next((name for name in known if there[name]), "drgn")
        if wanted not in known:
            raise UserError(
                f"{wanted} reads no compressed dumps", hint=f"Possible: {', '.join(known)}."
            )
        if not there[wanted]:
            raise UserError(
                f"{wanted} is not installed",
                hint="pip install 'dax-pagetable-driver[drgn]', or: sudo apt-get install crash",
            )
        return [str(word) for word in known[wanted]]


def find_dump(
    run: AnyRun, trial: str, *, attempt: int | None = None, workspace: Workspace | None = None
) -> Dump:
    """The dump of an attempt at a trial, by default of the last one that left one.

    Raises :class:`UserError` if there is none, or if its kernel is not in the cache any more or has
    no debug information, and :class:`HostError` if the dump is not whole.
    """
    from driver.memory.kernel import KernelImage, open_dump  # noqa: PLC0415  (drgn is optional)

    place = workspace or default()
    conclusion = read_run(run, workspace=place)
    record = read_record(conclusion.directory, trial)
    if record is None:
        name = conclusion.directory.name
        raise UserError(
            f"the trial {trial} of {name} has no record",
            hint=f"See which trials there are: driver logs {name}",
        )
    path = _path(conclusion.directory, record, attempt)
    image = KernelImage.in_folder(*_kernel(conclusion, record, place))
    vmcoreinfo = path.with_suffix(".vmcoreinfo")
    if _has_drgn():
        # Also finds out whether the dump is whole and of this kernel.
        note = open_dump(path, image)["VMCOREINFO"].string_()
        vmcoreinfo.write_bytes(note)
    memory = conclusion.run.manifest.guests[0].machine.memory_mib
    return Dump(path, image.vmlinux, image.release, vmcoreinfo, memory)


def _path(run: RunDirectory, record: TrialRecord, attempt: int | None) -> Path:
    numbers = [attempt] if attempt else range(len(record.attempts), 0, -1)
    for number in numbers:
        if run.dump(record.id, number).is_file():
            return run.dump(record.id, number)
    raise UserError(
        f"there is no dump of {record.id} in {run.name}",
        hint="`driver run experiment NAME --dump` keeps one of each guest whose kernel complains.",
    )


def _kernel(conclusion: Conclusion, record: TrialRecord, place: Workspace) -> tuple[Path, str]:
    found = kernel_of(conclusion.run.manifest, conclusion.experiment, record.factors)
    artifact = place.store.recall("kernel", found.digest) if found else None
    if found is None or artifact is None:
        series = found.series if found else "NAME"
        raise UserError(
            f"the kernel of {record.id} is no longer in the cache",
            hint=f"Make it again from the same inputs: driver build kernel --series {series} "
            f"--variant {DEBUG_INFO}",
        )
    return artifact.path, str(found.release)


def _has_drgn() -> bool:
    try:
        import drgn  # noqa: F401, PLC0415  (optional)
    except ImportError:
        return False
    return True


__all__ = ["Dump", "dump_failed", "dumping", "find_dump"]
