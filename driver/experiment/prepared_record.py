# SPDX-License-Identifier: Apache-2.0
"""What a manifest says of a guest that was prepared."""

from __future__ import annotations

import dataclasses

from driver.experiment.plan import GuestRequest
from driver.guest.template import Template
from driver.guest.template_recipe import TemplateRecipe
from driver.kernel.sources.source import base_of
from driver.results.guest_record import (
    GuestRecord,
    ImageProvenance,
    ImageRecord,
    KernelProvenance,
    KernelRecord,
    MachineRecord,
    QemuRecord,
)


def guest_record(
    request: GuestRequest, made_from: TemplateRecipe, template: Template | None = None
) -> GuestRecord:
    """What the manifest says of a guest; without a template it was never ready."""
    inputs = made_from.inputs()
    return GuestRecord(
        kernel=KernelRecord(
            series=request.kernel.series,
            variant=request.kernel.variant,
            base=base_of(made_from.kernel.release),
            digest=made_from.kernel.digest,
            release=made_from.kernel.release,
            provenance=KernelProvenance.model_validate(made_from.kernel.provenance),
        ),
        image=ImageRecord(
            name=made_from.image.name,
            digest=made_from.image.digest,
            provenance=ImageProvenance.model_validate(made_from.image.provenance),
        ),
        machine=MachineRecord.model_validate(dataclasses.asdict(made_from.machine)),
        provision=list(made_from.provision.argv) if made_from.provision else None,
        # The argument list names files by their role, so it reads the same on every host.
        qemu=QemuRecord(
            version=inputs["qemu"],
            argv=inputs["argv"],
            # ... and this one runs, on this host and for as long as the cache has the files.
            command=template.standalone_command() if template else None,
            template=template.artifact.digest if template else None,
            template_digests=template.facts["digests"] if template else None,
            processor=template.facts.get("processor") if template else None,
        ),
    )
