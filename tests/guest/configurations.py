# SPDX-License-Identifier: Apache-2.0
"""``python -m configurations``: the test programs on several kernels and machines.

Takes minutes to hours, and kernel builds; ``make test`` runs some of it, see ``test_semantics.py``.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from programs import (
    DEBUG_MACHINE,
    FILE_SYSTEMS,
    MACHINE,
    RAW_DEVICE,
    TOLERATED,
    flags,
    image_with_programs,
    on_reflink,
    run_program,
)

from driver.artifacts import KernelArtifact
from driver.deadline import Deadline
from driver.errors import DriverError
from driver.guest.boot import boot
from driver.guest.job import Job, JobResult
from driver.guest.machine import Machine
from driver.image import build_image
from driver.kernel import build_kernel
from driver.progress import PlainReporter
from driver.project import Project
from driver.store import Store

ROOT = Path(__file__).resolve().parents[2]
SERIES = "dax-pt-share"
# KASAN keeps freed objects back, up to a 32nd of the memory (QUARANTINE_FRACTION in the kernel's
# mm/kasan/quarantine.c).
_KASAN_KEEPS_KIB = DEBUG_MACHINE.memory_mib * 1024 // 32
# A debug kernel under emulation takes some ten times as long, also to boot.
_BOOT_SECONDS, _SEMANTICS_SECONDS = 900, 7200
_CASE_SECONDS = 300
_RACES_SECONDS = 1800
_OOM_SECONDS = 900
# What programs say that come to one verdict, and list no cases.
_ONE_VERDICT = (
    "FS_IOC_SETFLAGS|longest wait next to an exit|longest wait of a first fault|fresh mappings"
    "|innocent is killed"
)
# The page tables of 300 GiB with one entry each take 600 MiB.
_STALLS_GIB, _STALLS_MIB, _STALLS_SECONDS = (100, 300), 2048, 1800


@dataclass(frozen=True)
class Configuration:
    """A kernel, a machine, and the switch of the series (None: the kernel has none).

    ``walk``: shared tables are looked up by a walk, and not by the index. ``memory_mib``: other
    than what the kernel usually gets.
    """

    series: str = SERIES
    switch: str | None = "1"
    variant: str | None = None
    vcpus: int = 4
    la57: bool = False
    walk: bool = False
    memory_mib: int | None = None

    @property
    def machine(self) -> Machine:
        machine = DEBUG_MACHINE if self.variant == "debug" else MACHINE
        memory_mib = self.memory_mib or machine.memory_mib
        return replace(machine, vcpus=self.vcpus, la57=self.la57, memory_mib=memory_mib)


CONFIGURATIONS = {
    "unpatched": Configuration(series="none", switch=None),
    "off": Configuration(switch="0"),
    "on": Configuration(),
    "on-walk": Configuration(walk=True),
    "unpatched-la57": Configuration(series="none", switch=None, la57=True),
    "on-la57": Configuration(la57=True),
    "on-1-cpu": Configuration(vcpus=1),
    "on-no-paravirt": Configuration(variant="no-paravirt"),
    "debug-unpatched": Configuration(series="none", switch=None, variant="debug"),
    "debug-off": Configuration(switch="0", variant="debug"),
    "debug-on": Configuration(variant="debug"),
    "debug-on-la57": Configuration(variant="debug", la57=True),
    "debug-on-1-cpu": Configuration(variant="debug", vcpus=1),
}


WHAT = ("semantics", "stress", "races", "flags", "stalls", "reflink", "oom")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m configurations", description=__doc__)
    parser.add_argument("what", choices=list(WHAT))
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(CONFIGURATIONS))
    parser.add_argument("--base", help="version of Linux (the newest that the series is for)")
    parser.add_argument("--only", action="append", default=[], help="cases, or operations (all)")
    parser.add_argument("--seconds", type=int, default=300, help="of each stress or flags (300)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="of the stress (1)")
    parser.add_argument("--processes", type=int, default=24, help="of the stress (24)")
    parser.add_argument("--rounds", type=int, default=4, help="of stress, races or stalls (4)")
    parser.add_argument("--toggle", action="store_true", help="the stress turns the switch")
    parser.add_argument("--keep", type=Path, help="folder for consoles and outputs (none)")
    return parser


def commands(
    options: argparse.Namespace, wanted: Configuration
) -> Iterator[tuple[str, list[str], float]]:
    """What is run in a configuration: a name, a command, the seconds it may take."""
    only = [word for name in options.only for word in ("--only", name)]
    if options.what == "semantics":
        argv = ["semantics", "--directory", "/mnt/dax", "--timeout", str(_CASE_SECONDS), *only]
        argv += ["--raw-device", RAW_DEVICE]
        yield "semantics", argv, _SEMANTICS_SECONDS
        return
    if options.what == "races":
        yield "races", ["races", "--rounds", str(options.rounds)], _RACES_SECONDS
        return
    if options.what == "reflink":
        yield "reflink", on_reflink(["reflink", "--rounds", str(options.rounds)]), _RACES_SECONDS
        return
    if options.what == "oom":
        for more in ([], ["--accomplice"], ["--accomplice", "--groups"]):
            yield " ".join(["oom", *more]), ["oom", *more], _OOM_SECONDS
        return
    if options.what == "stalls":
        for gib in _STALLS_GIB:
            argv = ["stalls", "--gib", str(gib), "--rounds", str(options.rounds)]
            yield f"stalls, {gib} GiB", argv, _STALLS_SECONDS
        argv = ["stalls", "--first-faults", "--rounds", str(options.rounds)]
        yield "first faults", argv, _STALLS_SECONDS
        return
    if options.what == "flags":
        # With the switch off: once as booted, and once after it was on.
        again = wanted.switch == "0"
        for name in FILE_SYSTEMS:
            argv = flags(name, options.seconds, off_again=again)
            yield f"flags on {name}", argv, options.seconds * (4 if again else 2) + 300
        return
    for seed in options.seeds:
        argv = ["stress", "--seconds", str(options.seconds), "--seed", str(seed), "--files", "3"]
        argv += ["--processes", str(options.processes), "--rounds", str(options.rounds), *only]
        argv += ["--raw-device", RAW_DEVICE, *(["--toggle"] * options.toggle)]
        if wanted.variant == "debug":
            argv += ["--kept-kb", str(_KASAN_KEEPS_KIB)]
        yield f"stress, seed {seed}", argv, options.seconds * 4 + 900


def verdict_of(result: JobResult) -> tuple[bool, str]:
    """Whether all is well, and what there is to say about it in a line."""
    if re.search(r"\d+ of \d+ loads right after it", result.output):
        return result.status == 0, "; ".join(result.output.splitlines())
    if re.search(_ONE_VERDICT, result.output):
        return result.status == 0, "; ".join(result.output.splitlines())
    operations = re.search(r"^total +(\d+)$", result.output, re.MULTILINE)
    if operations:
        attached = re.findall(r"tables created (\d+), attached (\d+)", result.output)[-1]
        text = f"{operations[1]} operations; {attached[0]} tables, attached {attached[1]} times"
        return result.status == 0, text
    lines = re.findall(r"^(?:not )?ok \d+ - .*$", result.output, re.MULTILINE)
    failed = [line.split(" - ")[1].split()[0] for line in lines if line.startswith("not ok")]
    skipped = sum("# SKIP" in line for line in lines)
    text = f"{len(lines) - len(failed) - skipped} passed, {skipped} skipped, {len(failed)} failed"
    planned = re.search(r"^1\.\.(\d+)$", result.output, re.MULTILINE)
    complete = planned is not None and len(lines) == int(planned[1])
    return result.status == 0 and complete, " ".join([text, *failed])


def examine(
    wanted: Configuration, kernel: KernelArtifact, argv: list[str], seconds: float, folder: Path
) -> tuple[bool, str]:
    """Boot a guest and run one program in it; as :func:`verdict_of`."""
    reporter = PlainReporter()
    store = Store(notify=reporter.note)
    folder.mkdir(parents=True, exist_ok=True)
    plain = build_image(store, Project.find(ROOT), "dax", reporter)
    image = image_with_programs(store, plain, folder)
    try:
        with boot(
            wanted.machine,
            kernel,
            image,
            folder,
            deadline=Deadline.after(_BOOT_SECONDS, "booting"),
            tolerate=TOLERATED,
        ) as guest:
            # The kernel forgets the flag if it does not use the five levels.
            levels = Job(argv=["grep", "-qw", "la57", "/proc/cpuinfo"], timeout=60)
            five = guest.run(levels, Deadline.after(60, "looking at the processor")).status == 0
            if five != wanted.la57:
                return False, f"five-level page tables: {five}"
            result = run_program(
                guest,
                argv,
                switch=wanted.switch,
                seconds=seconds,
                walk=wanted.walk,
            )
    except DriverError as error:
        (folder / "output.txt").write_text(error.excerpt or error.message, encoding="utf-8")
        return False, f"{type(error).__name__}: {error.message}"
    finally:
        (folder / "tests.cpio").unlink(missing_ok=True)
    (folder / "output.txt").write_text(result.output, encoding="utf-8")
    return verdict_of(result)


def run(options: argparse.Namespace, folder: Path) -> int:
    reporter = PlainReporter()
    store, project = Store(notify=reporter.note), Project.find(ROOT)
    failed = 0
    for name in options.names or CONFIGURATIONS:
        wanted = CONFIGURATIONS[name]
        if options.what == "stalls":
            wanted = replace(wanted, memory_mib=_STALLS_MIB)
        kernel = build_kernel(
            store,
            project,
            series=wanted.series,
            base=options.base,
            variant=wanted.variant,
            reporter=reporter,
        )
        for what, argv, seconds in commands(options, wanted):
            began = time.monotonic()
            place = folder / f"{name}-{re.sub('[^a-z0-9]+', '-', what.lower())}"
            good, text = examine(wanted, kernel, argv, seconds, place)
            took = time.monotonic() - began
            verdict = "ok" if good else "FAILED"
            print(f"{name:16} {what:18} {verdict:6} {text} ({took:.0f} s)", flush=True)
            failed += not good
    return 1 if failed else 0


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    unknown = set(options.names) - set(CONFIGURATIONS)
    if unknown:
        parser.error(f"no such configuration: {', '.join(sorted(unknown))}")
    try:
        with tempfile.TemporaryDirectory(prefix="configurations-") as folder:
            return run(options, options.keep or Path(folder))
    except DriverError as error:
        print("\n".join(filter(None, (f"error: {error.message}", error.excerpt, error.hint))))
        return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
