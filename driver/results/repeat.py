# SPDX-License-Identifier: Apache-2.0
"""The command that repeats a run."""

from __future__ import annotations

import shlex
import tomllib

from driver.results.manifest import Manifest
from driver.validity import Accelerator


def repeat_command(manifest: Manifest, *, pinned: bool = True) -> str:
    """The line to paste into a shell in a clone of the project.

    ``pinned`` names the accelerator of the run even where the experiment leaves it to the host
    (``auto``), and takes the same digests: the same trials on another host are then compared with
    these byte by byte. Without it the line gives the same numbers.
    """
    options = manifest.options
    words = [".venv/bin/driver", "run", "experiment", manifest.experiment.name]
    if options.quick:
        words.append("--quick")
    for factor, levels in options.only.items():
        words += ["--only", f"{factor}={','.join(levels)}"]
    if options.repeat is not None:
        words += ["--repeat", str(options.repeat)]
    if options.jobs != 1:
        words += ["--jobs", str(options.jobs)]
    if pinned and options.digest_nvdimm:
        words.append("--digest-nvdimm")
    words += [f"--{flag}" for flag in ("force", "dump") if getattr(options, flag)]
    if pinned or _chosen_by_hand(manifest):
        words += ["--accel", manifest.accelerator.value]
    if options.source is not None:
        words += ["--source", options.source]
    if options.unpatched_source is not None:
        words += ["--unpatched-source", options.unpatched_source]
    if options.bases and options.source is None and options.unpatched_source is None:
        words += ["--base", ",".join(options.bases)]
    words += [f"--allow-splat={kind}" for kind in options.allow_splat]
    for name in options.instruments:
        words += ["--instrument", name]
    if options.timeout_factor != 1:
        words += ["--timeout-factor", f"{options.timeout_factor:g}"]
    # With "=": most of these begin with a dash of their own.
    words += [f"--kernel-arg={word}" for word in options.kernel_args]
    words += [f"--qemu-arg={word}" for word in options.qemu_args]
    return shlex.join(words)


def _chosen_by_hand(manifest: Manifest) -> bool:
    """Whether the run's accelerator is another than the one its experiment names."""
    named = tomllib.loads(manifest.experiment.text).get("accelerator", "auto")
    return named != "auto" and Accelerator(named) is not manifest.accelerator
