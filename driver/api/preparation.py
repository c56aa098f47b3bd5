# SPDX-License-Identifier: Apache-2.0
"""From what a plan asks for to guests that can be forked: kernels, images, templates."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from driver.api.bases import KernelSources
from driver.api.build import build_image, build_kernel
from driver.api.guests import with_arguments
from driver.api.instruments import watch
from driver.api.workspace import Workspace
from driver.artifacts import ImageArtifact, KernelArtifact
from driver.errors import GuestError
from driver.experiment.boot_failure import NeverReady
from driver.experiment.definition import Kernel
from driver.experiment.plan import GuestRequest
from driver.experiment.prepared_record import guest_record
from driver.experiment.work import Prepared
from driver.guest.accel import Choice, Requested, choose_or_emulate
from driver.guest.machine import Accel, Machine
from driver.guest.template import Template, Templates
from driver.guest.template_recipe import TemplateRecipe
from driver.image import recipe
from driver.image.folders import check_folders, with_folders
from driver.kernel import kconfig_fragment, series
from driver.kernel.boot_options import lacking
from driver.kernel.build_request import OPTIONS_OFF
from driver.kernel.sources import spec
from driver.kernel.sources.source import debian_base
from driver.project import Project
from driver.results.manifest import Options
from driver.store import Store
from driver.validity import Accelerator, Validity

_log = logging.getLogger(__name__)


def check(
    store: Store, project: Project, requests: Iterable[GuestRequest], sources: KernelSources
) -> None:
    """Raise :class:`UserError` for a series, source, variant or image that does not exist.

    Building finds out too, but only at the arm that needs it.
    """
    requests = list(requests)
    for kernel in dict.fromkeys(request.kernel for request in requests):
        source = sources.of(kernel)
        wanted = kernel.base if source is None else debian_base(source)
        loaded = series.load(project, kernel.series, wanted)
        spec.check(store, source, loaded.base)
    for request in requests:
        if request.kernel.variant not in (None, OPTIONS_OFF):
            kconfig_fragment.builtin(request.kernel.variant)
        recipe.load(project, request.image)
        check_folders(_folders(project, request))


class Preparation:
    """Builds each kernel and image of a plan once, and boots each template once.

    The options say what the kernels are made from: see :class:`driver.api.bases.KernelSources`.
    """

    def __init__(
        self,
        place: Workspace,
        *,
        accel: Requested,
        options: Options,
    ) -> None:
        self._place = place
        self._accel = accel
        self._options = options
        self._choice: Choice | None = None
        self._templates = Templates(place.store, notify=place.reporter.note)
        self._kernels: dict[Kernel, KernelArtifact] = {}
        self._images: dict[object, ImageArtifact] = {}

    def guest(self, request: GuestRequest) -> Prepared:
        """A template for the request, and what the manifest says of it."""
        try:
            template = self.template(request)
        except GuestError as error:
            if without := lacking(self._kernel(request.kernel).config):
                error.message += f"; its kernel lacks {', '.join(without)}"
            record = guest_record(request, self.recipe(request))
            raise NeverReady.of(request, record, error) from error
        record = guest_record(request, template.recipe, template)
        if not request.instruments:
            return Prepared(template, record)
        watched = watch(self._place.store, template, request.instruments)
        return Prepared(watched, record.model_copy(update={"instruments": watched.records}))

    def recipe(self, request: GuestRequest) -> TemplateRecipe:
        """What the template of a request is made from; its kernel and image have been built."""
        kernel, image = self.parts(request)
        machine = self.machine(request, self._choose(kernel, image).accel)
        return TemplateRecipe(machine, kernel, image, request.provision)

    def template(self, request: GuestRequest) -> Template:
        """A booted and provisioned guest for the request, and its kernel and image with it.

        Building them may take minutes the first time.
        """
        recipe = self.recipe(request)
        kernel = recipe.kernel
        choice = self.choice
        self._place.reporter.step(
            f"Booting the guest: {kernel.release}, series {request.kernel.series}"
        )
        return self._templates.get(
            recipe.machine,
            kernel,
            recipe.image,
            recipe.provision,
            boot_seconds=choice.boot_seconds * self._options.timeout_factor,
            tolerate=frozenset(self._options.allow_splat),
            watch=lambda phase: self._place.reporter.progress(0, None, phase),
        )

    def parts(self, request: GuestRequest) -> tuple[KernelArtifact, ImageArtifact]:
        """Kernel and image of a request, built if need be."""
        return self._kernel(request.kernel), self._image(request)

    def machine(self, request: GuestRequest, accel: Accel) -> Machine:
        """The machine of a request, with what the options add to its command lines."""
        return with_arguments(
            request.machine.machine(accel), self._options.kernel_args, self._options.qemu_args
        )

    @property
    def choice(self) -> Choice:
        """The accelerator all guests have; known once the first of them was asked for."""
        if self._choice is None:
            raise LookupError("no guest has been prepared yet")
        return self._choice

    def _choose(self, kernel: KernelArtifact, image: ImageArtifact) -> Choice:
        """Decided on the first kernel, for the whole run: arms must not differ in it."""
        if self._choice is None:
            self._choice = choose_or_emulate(
                self._accel, self._place.store, kernel, image, notify=self._place.reporter.note
            )
            _log.info("guests run under %s: %s", self._choice.accel, self._choice.reason)
        return self._choice

    def _kernel(self, wanted: Kernel) -> KernelArtifact:
        if wanted not in self._kernels:
            source = KernelSources.of_run(self._options).of(wanted)
            self._kernels[wanted] = build_kernel(
                source=source,
                series=wanted.series,
                variant=wanted.variant,
                # A source says itself what it is.
                base=wanted.base if source is None else None,
                workspace=self._place,
            )
        return self._kernels[wanted]

    def _image(self, request: GuestRequest) -> ImageArtifact:
        wanted = request.image, request.files
        if wanted not in self._images:
            self._images[wanted] = with_folders(
                self._place.store,
                build_image(request.image, workspace=self._place),
                _folders(self._place.project, request),
                self._place.reporter,
            )
        return self._images[wanted]


def _folders(project: Project, request: GuestRequest) -> dict[str, Path]:
    """Folders to copy into the guest, by their path there."""
    return {guest: project.root / host for guest, host in request.files}


def validity(accel: Accel) -> Validity:
    """What a run under this accelerator may contain, with the icount shift machines use."""
    accelerator = Accelerator(accel)
    exact = accelerator is Accelerator.ICOUNT
    return Validity(accelerator, Machine.icount_shift if exact else None)
