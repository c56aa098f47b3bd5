# SPDX-License-Identifier: Apache-2.0
"""Source lines for the stack traces of a run, from the very kernel that printed them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from driver.api.workspace import Workspace
from driver.errors import DriverError, HostError, TrialsFailed
from driver.kernel.stacktrace import Decoded, decode, has_trace
from driver.kernel.symbols import Symbols
from driver.store import Store

if TYPE_CHECKING:
    # A guest without an experiment needs none of the tables that these bring.
    from driver.experiment.conclusion import Conclusion
    from driver.experiment.definition import Experiment, Level
    from driver.results.guest_record import KernelRecord
    from driver.results.manifest import Manifest

# The variant of a kernel that has source lines; a fragment of driver/kernel/fragments/.
DEBUG_INFO = "debug-info"


def decode_trial(
    text: str,
    manifest: Manifest,
    experiment: Experiment,
    factors: Mapping[str, Level],
    *,
    store: Store,
) -> Decoded:
    """Add source lines to what a trial's guest printed, by its kernel in the cache.

    If that is not possible the note says why; nothing is raised.
    """
    if not has_trace(text):
        return Decoded(text, "")
    kernel = kernel_of(manifest, experiment, factors)
    if kernel is None:
        return Decoded(text, "no source lines: the kernel of this trial is not recorded")
    artifact = store.recall("kernel", kernel.digest)
    if artifact is None:
        return Decoded(
            text,
            f"no source lines: the kernel of this run ({kernel.digest[:12]}) is no longer in the "
            f"cache; `driver build kernel --series {kernel.series}` makes it again from the same "
            "inputs",
        )
    return decode_from(text, artifact.path, kernel.series)


def decode_from(text: str, folder: Path, series: str) -> Decoded:
    """Add source lines by the kernel in the folder of an artifact."""
    hint = (
        f"`--variant {DEBUG_INFO}`, or in an experiment "
        f'`kernel = {{ series = "{series}", variant = "{DEBUG_INFO}" }}`, builds one that has it'
    )
    try:
        return decode(text, Symbols.of_kernel(folder), hint=hint)
    except HostError as error:  # evidence of a crash must not be lost because a tool is missing
        return Decoded(text, f"no source lines: {error.message}")


def with_note(found: Decoded) -> str:
    """The text, and the note behind it where there is one."""
    return f"{found.text}\n({found.note})" if found.note else found.text


def explained(complaint: DriverError, conclusion: Conclusion, place: Workspace) -> DriverError:
    """The error a run ends with, its excerpt with source lines if the first failure is a crash."""
    if not isinstance(complaint, TrialsFailed):
        return complaint
    first = next((one for one in conclusion.records if one.id == complaint.trial), None)
    if first is None:
        return complaint
    if complaint.excerpt:
        found = decode_trial(
            complaint.excerpt,
            conclusion.run.manifest,
            conclusion.experiment,
            first.factors,
            store=place.store,
        )
        complaint.excerpt = with_note(found)
    look = f"Its console: driver logs {conclusion.directory.name} {first.id}"
    complaint.hint = "\n      ".join(filter(None, (complaint.hint, look)))
    return complaint


def kernel_of(
    manifest: Manifest, experiment: Experiment, factors: Mapping[str, Level]
) -> KernelRecord | None:
    """What the manifest says about the kernel a trial ran on; None if it does not say.

    Instruments and dumps have kernels built with debug information that have no variant of their
    own.
    """
    for name, level in factors.items():
        arm = experiment.factors[name].arms.get(str(level))
        if arm is not None and arm.kernel is not None:
            mine = [one.kernel for one in manifest.guests if one.kernel.series == arm.kernel.series]
            for variant in (arm.kernel.variant, DEBUG_INFO):
                for kernel in mine:
                    if kernel.variant == variant:
                        return kernel
    return None
