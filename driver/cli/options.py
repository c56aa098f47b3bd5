# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that several commands share, each declared once.

A command's parameter names the option: ``series: options.Series = None`` is ``--series``.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from driver import api
from driver.cli import complete
from driver.errors import UserError

if TYPE_CHECKING:
    from driver.api import Requested

DEFAULT_IMAGE = "dax"


class Accel(enum.Enum):
    """What --accel may be; see docs/measurement-validity.md. `exact`: alias of `icount`."""

    AUTO = "auto"
    TCG = "tcg"
    ICOUNT = "icount"
    KVM = "kvm"
    EXACT = "exact"

    @property
    def requested(self) -> Requested:
        """The accelerator it is a name of."""
        return Accel.ICOUNT.value if self is Accel.EXACT else self.value


Run = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A run; `latest` is the newest.", autocompletion=complete.runs
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Patch series: a folder of kernel-patches/, or `none` for the unpatched kernel. "
        "Default: the default series of the project; with --source DIR: that of the checkout, else "
        "none.",
        autocompletion=complete.series,
    ),
]
SeriesOfCheckout = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Patch series: a folder of kernel-patches/. Default: that of the checkout around the "
        "current directory, else the default of the project.",
        autocompletion=complete.series,
    ),
]
NewSeries = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Patch series: a folder of kernel-patches/, or `none` to start a new one. "
        "Default: the default series of the project.",
        autocompletion=complete.series,
    ),
]
Base = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION",
        help="Kernel to apply it to: a version such as 6.12 (its newest Debian package), "
        "debian:BASE=VERSION, or URL#sha256=HEX. Default: the newest base of the series.",
    ),
]
Linux = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="VERSION",
        help="Version of Linux, such as 6.12; see `driver list kernels`. Default: that of the "
        "source, else the newest that the series exists for.",
        autocompletion=complete.bases,
    ),
]
Source = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Kernel source: DIR (built as is, never written to; a series given with it adds only "
        "its configuration), debian:BASE[=VERSION], or URL#sha256=HEX. "
        "Default: the newest Debian package of the base.",
    ),
]
Variant = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Additional kernel configuration, e.g. `debug`.",
        autocompletion=complete.variants,
    ),
]
Image = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Guest image: a folder of guest-images/.",
        autocompletion=complete.images,
    ),
]
Compilers = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, help="Number of parallel compilers. Default: all CPUs."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(metavar="FACTOR=LEVEL[,LEVEL]", help="Run only these levels of a factor."),
]
Guests = Annotated[
    int,
    typer.Option("--jobs", "-j", metavar="N", min=1, help="Number of guests run in parallel."),
]
AccelOption = Annotated[
    Accel | None,
    typer.Option(
        help="What executes the guest, which decides what its numbers mean; `auto` is KVM if "
        "it is proven to work, else tcg.  [default: what the experiment needs, or else auto]",
        show_default=False,
    ),
]
SourceOfArms = Annotated[
    str | None,
    typer.Option(
        metavar="SOURCE",
        help="Kernel source for the arms that have a series, as in `driver build`; "
        "an arm without a series keeps the unpatched kernel.",
    ),
]
Bases = Annotated[
    str | None,
    typer.Option(
        metavar="VERSION[,VERSION]",
        help="Version of Linux, such as 6.12; several become a factor of the experiment. "
        "Default: that of the source, else the newest that the series exist for.",
        autocompletion=complete.bases,
    ),
]
KernelArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--kernel-arg",
        metavar="WORD",
        help="Add a word to the kernel command line of the guest. Repeatable.",
    ),
]
QemuArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--qemu-arg",
        metavar="WORD",
        help="Add a word to the QEMU command line, e.g. --qemu-arg=-device --qemu-arg=edu. "
        "Repeatable. Under icount only options that observe are accepted, such as -plugin.",
    ),
]
Instruments = Annotated[
    list[str] | None,
    typer.Option(
        "--instrument",
        metavar="NAME",
        help="Watch the guests with this instrument, a QEMU plugin: `functions`, `coverage`, "
        "`page-tables` or `page-walks`; see docs/reference/experiment.md. Repeatable. Not under "
        "KVM.",
        autocompletion=complete.instruments,
    ),
]
ShowCommand = Annotated[
    bool,
    typer.Option(
        "--show-command",
        help="Print a shell line that starts the guest without the driver, and exit.",
    ),
]
KeepGuest = Annotated[
    bool,
    typer.Option(
        "--keep-guest",
        help="When a trial fails, keep its guest, print how to reach it (a shell on its serial "
        "console, gdb), and wait for Enter.",
    ),
]
AllowSplat = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-splat",
        metavar="KIND",
        help="Let a kind of fault not decide the exit status: a complaint of the kernel such as "
        "`warn` or `oops` (driver/guest/splat_patterns.py), or the verdict `lost`, `timeout` or "
        "`workload` of an attempt that failed without one. It is still shown and recorded. "
        "Repeatable.",
        autocompletion=complete.kinds,
    ),
]
TimeoutFactor = Annotated[
    float,
    typer.Option(
        "--timeout-factor",
        metavar="N",
        min=0.1,
        max=1000,
        help="Multiply every deadline of the guests by N, on top of what the driver allows for a "
        "slow or busy host.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="CLUSTER",
        help="Run the trials on other hosts: a scheduler (tls://HOST:8786, tcp://127.0.0.1:8786), "
        "local:N for N workers on this machine, or ssh:FILE for the hosts of a file.",
    ),
]
Keys = Annotated[
    Path | None,
    typer.Option(
        "--keys", metavar="DIR", help="Keys of the cluster, made with `driver cluster keys DIR`."
    ),
]
Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure",
        help="Accept a cluster without TLS: who reaches it can run programs on its hosts.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan; run nothing.")]
Junit = Annotated[
    Path | None,
    typer.Option("--junit", metavar="FILE", help="Also write the results as JUnit's XML."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def cluster_of(spec: str | None, keys: Path | None, *, insecure: bool) -> api.ClusterOptions | None:
    """The cluster that the options name, if any."""
    if spec is None:
        if keys is not None or insecure:
            raise UserError(
                f"{'--insecure' if keys is None else '--keys'} goes with --cluster",
                hint="Name the cluster, as in --cluster tls://HOST:8786, or leave it out.",
            )
        return None
    return api.ClusterOptions(spec, keys, insecure)


def versions_of(text: str | None) -> list[str]:
    """The versions of --base, separated by commas."""
    found = [word.strip() for word in text.split(",")] if text is not None else []
    if not all(found):
        raise UserError(f"--base {text!r} lacks a version", hint="Write it as in --base 6.12,7.3.")
    return found


def levels_of(only: Sequence[str]) -> dict[str, list[str]]:
    """The levels of --only, by factor."""
    chosen: dict[str, list[str]] = {}
    for text in only:
        found = re.fullmatch(r"([^=,]+)=([^=]+)", text)
        if found is None:
            raise UserError(
                f"--only {text!r} is not FACTOR=LEVEL", hint="For example: --only processes=1,4"
            )
        chosen.setdefault(found[1], []).extend(found[2].split(","))
    return chosen
