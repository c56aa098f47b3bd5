# SPDX-License-Identifier: Apache-2.0
"""What is asked for when a kernel is built, fully read and identified."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from driver.errors import UserError
from driver.kernel import toolchain
from driver.kernel.kconfig_fragment import MACHINE, Fragment, builtin, resolve
from driver.kernel.series import Patch, PatchSeries, default_series, fitting, load
from driver.kernel.sources.source import KernelSource, base_of, debian_base
from driver.kernel.sources.spec import obtain
from driver.progress import Reporter
from driver.project import Project
from driver.store import Store, digest_of

_log = logging.getLogger(__name__)

# Raised when the same inputs would give another artifact: other make variables, other files.
RECIPE = 1
# The variant in which every option that the series' own fragments turn on is off.
OPTIONS_OFF = "options-off"


@dataclass(frozen=True)
class BuildRequest:
    """A source, a series on it, a configuration, a compiler."""

    source: KernelSource
    series: PatchSeries
    variant: str | None
    fragments: tuple[Fragment, ...]
    compiler: Mapping[str, str]

    @property
    def name(self) -> str:
        """Stands for the build directory: a changed patch or source file keeps it."""
        return "-".join(filter(None, (self.source.place, self.series.name, self.variant)))

    @property
    def title(self) -> str:
        """The kernel in words."""
        parts = [f"Linux {self.source.version}", f"series {self.series.name}", self.variant]
        return ", ".join(filter(None, parts))

    @property
    def localversion(self) -> str:
        """Appended to the release, so that ``uname -r`` tells the arms of an experiment apart."""
        parts = filter(None, (self.series.title, self.variant))
        return "".join(f"-{part}" for part in parts)

    def inputs(self) -> dict[str, Any]:
        """Everything that decides what comes out."""
        asked = {name: request.value for name, request in resolve(self.fragments).items()}
        return {
            "recipe": RECIPE,
            "arch": "x86_64",
            "source": self.source.identity,
            "patches": [patch.digest for patch in self.patches],
            "config": digest_of(asked),
            "localversion": self.localversion,
            "compiler": dict(self.compiler),
        }

    @property
    def patches(self) -> tuple[Patch, ...]:
        """The patches applied: a tree of the user's is built as is."""
        return self.series.patches if self.source.pristine else ()

    def provenance(self) -> dict[str, Any]:
        """The same for a person who wants to repeat it: JSON for the manifest."""
        source, series = self.source, self.series
        return {
            "source": {
                "identity": source.identity,
                "version": source.version,
                "origin": {**source.origin},
            },
            "series": {
                "name": series.name,
                "base": series.base,
                "patches": [{"name": part.name, "sha256": part.digest} for part in self.patches],
            },
            "variant": self.variant,
            "fragments": {
                part.name: hashlib.sha256(part.text.encode()).hexdigest() for part in self.fragments
            },
            "compiler": dict(self.compiler),
            "recipe": RECIPE,
        }


def make_request(
    store: Store,
    project: Project,
    *,
    source: str | None,
    series: str | None,
    variant: str | None,
    base: str | None = None,
    reporter: Reporter,
) -> BuildRequest:
    """Read everything the arguments of :func:`driver.kernel.build_kernel` name.

    Raises :class:`~driver.errors.UserError` when they do not fit together.
    """
    named = check_names(project, source=source, series=series, variant=variant, base=base)
    found = obtain(store, source, named.base, reporter)
    if base not in (None, base_of(found.version)):
        raise UserError(
            f"{found.label} is not Linux {base}, which --base asks for",
            hint="Leave --base out: the source determines the version.",
        )
    chosen = fitting(project, named, found)
    chosen.check_base(found)
    held = found.origin.get("series")
    if not found.pristine and chosen.patches and held != chosen.name:
        reporter.note(
            f"{found.label} is built as is: of series {chosen.name} only the configuration is used"
        )
    if variant == OPTIONS_OFF:
        extra = [turned_off(chosen)]
    else:
        extra = [builtin(variant)] if variant else []
    _log.info("kernel source: %s, series %s, variant %s", found.label, chosen.name, variant)
    return BuildRequest(
        source=found,
        series=chosen,
        variant=variant,
        fragments=(builtin(MACHINE), *chosen.fragments, *extra),
        compiler=toolchain.identify(),
    )


def check_names(
    project: Project,
    *,
    source: str | None,
    series: str | None,
    variant: str | None,
    base: str | None = None,
) -> PatchSeries:
    """The series, known to exist like the variant: a typo is reported before anything is fetched.

    A directory or a tarball says which base it is only when it is read; until then the series is
    that of its newest base.
    """
    if variant not in (None, OPTIONS_OFF):
        builtin(variant)
    wanted = debian_base(source)
    if base is not None and wanted not in (None, base):
        raise UserError(
            f"--source {source} and --base {base} contradict each other",
            hint="Leave --base out: the source determines the version.",
        )
    name = default_series(source) if series is None else series
    return load(project, name, wanted or (base if source is None else None))


def turned_off(series: PatchSeries) -> Fragment:
    """A fragment that takes back what the series' fragments turn on."""
    asked = resolve(series.fragments).values()
    lines = [
        f"# CONFIG_{one.symbol} is not set  # overrides {one.fragment}\n"
        for one in asked
        if one.value in ("y", "m")
    ]
    return Fragment(f"{OPTIONS_OFF}.config", "".join(lines))
