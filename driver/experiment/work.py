# SPDX-License-Identifier: Apache-2.0
"""What a run has to do: an experiment, its trials, and the templates to fork their guests from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from driver.experiment.attempt import GuestFactory
from driver.experiment.load import Definition
from driver.experiment.plan import GuestRequest, Trial
from driver.results.guest_record import GuestRecord


@dataclass(frozen=True)
class Prepared:
    """A booted and provisioned template, and what the manifest says about it.

    ``factory`` is None where only other hosts have it.
    """

    factory: GuestFactory | None
    record: GuestRecord


@dataclass(frozen=True)
class Work:
    """What is to be run: an experiment, its trials, and a template for each kind of guest."""

    definition: Definition
    plan: Sequence[Trial]
    guests: Mapping[GuestRequest, Prepared]
